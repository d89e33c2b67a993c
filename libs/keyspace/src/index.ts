export * from './backend.js';
export { BlockStream } from './block-stream.js';
export { Compactor, type CompactorOptions } from './compactor.js';
export * from './errors.js';
export * from './key-range.js';
export * from './key-value.js';
export * from './model.js';
export { Keyspace, type BackendStatus, type KeyspaceLog, type KeyspaceObserver, type KeyspaceOptions, type Routing } from './keyspace.js';
export { varint64Size, varintSize, writeVarint, writeVarint64 } from './varint.js';
