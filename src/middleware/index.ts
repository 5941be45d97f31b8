export {
  type ErrorHandlerOptions,
  type ErrorMessage,
  formatOAuthErrorMessage,
  integrationErrorHandler,
} from './error-handler.js'
export { type GuardOptions, guardStrategy } from './guard-strategy.js'
export { buildOAuthState, type OAuthStateExpectation, type OAuthStatePayload, parseOAuthState } from './oauth-state.js'
