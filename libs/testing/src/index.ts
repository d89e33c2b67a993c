export type { DatabaseServer } from './databases/database-server.js';
export { type EtcdServer, startEtcd } from './databases/etcd-server.js';
export { type MariadbServer, startMariadb } from './databases/mariadb-server.js';
export { type PostgresServer, startPostgres } from './databases/postgres-server.js';
export { EtcdClient, EtcdError, type EtcdList, type EtcdWatch } from './etcd-client.js';
export { type AcknowledgedWrite, HistoryChecker, type ListedState, type WatchedEvent, type WatchedMessage } from './history-checker.js';
export { fieldsOf } from './protobuf-fields.js';
export { Random } from './random.js';
export { BASE, databaseOf, KINDS, keyAtRandom, RandomTopology } from './random-topology.js';
