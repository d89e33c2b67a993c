export * from './backend.js';
export { BlockStream } from './block-stream.js';
export { Compactor, type CompactorOptions } from './compactor.js';
export * from './errors.js';
export * from './key-range.js';
export * from './key-value.js';
export * from './model.js';
export { freeBlock, ownedBlock } from './owned-block.js';
export type { KeyMove } from './key-moves.js';
export {
  Keyspace,
  type BackendStatus,
  type FormerRouting,
  type KeyspaceObserver,
  type KeyspaceOptions,
  type PlannedRouting,
  type RetiredBackend,
  type RoutingChange,
  type RoutingVerdict,
} from './keyspace.js';
export type { KeyspaceLog } from './keyspace-log.js';
export type { Routing } from './placement.js';
export { WriterLease, type WriterLeaseOptions, type WriterStatus } from './writer-lease.js';
export { varint64Size, varintSize, writeVarint, writeVarint64 } from './varint.js';
