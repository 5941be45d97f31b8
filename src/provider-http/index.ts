export { type Answer, type Classified, checkHtmlResponse, classifyResponse, type PageInfo } from './classify.js'
export {
  createProviderHttp,
  type DoorAnswer,
  type DoorRequest,
  type Endpoint,
  type OriginMap,
  type ProviderHttp,
  type ProviderHttpOptions,
  type RequestInfo,
} from './client.js'
export type { ErrorRules } from './errors.js'
export type { AcquireOptions, Hint, Limit, RateLimiter, RateRule, Turn } from './rate-limit.js'
export { createRedisRateLimiter, type RedisRateLimiterOptions } from './redis-rate-limit.js'
