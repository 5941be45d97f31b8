export type { LabAccount, LabAnswer, LabHints, LabItemContext, LabPages } from '../strategies/lab-hints.js'
export type { LabEndpoint, LabFault, LabFaultKind } from './faults.js'
export {
  createProviderLab,
  type LabCredentials,
  type LabRequest,
  type ProviderLab,
  type ProviderLabOptions,
} from './provider-lab.js'
