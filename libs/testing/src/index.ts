export { EtcdClient, EtcdError, type EtcdList, type EtcdWatch } from './etcd-client.js';
export { type AcknowledgedWrite, HistoryChecker, type ListedState, type WatchedEvent, type WatchedMessage } from './history-checker.js';
export { Random } from './random.js';
export { BASE, databaseOf, KINDS, keyAtRandom, RandomTopology } from './random-topology.js';
