export type { LabEndpoint, LabFault, LabFaultKind } from './faults.js'
export type { LabAccount, LabAnswer, LabHints, LabItemContext, LabPages } from './lab-hints.js'
export {
  createProviderLab,
  type LabCredentials,
  type LabRequest,
  type ProviderLab,
  type ProviderLabOptions,
} from './provider-lab.js'
