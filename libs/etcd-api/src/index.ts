export { EtcdServer, type EtcdServerOptions } from './etcd-server.js';
export { EtcdTransport } from './etcd-transport.js';
export type { HealthService } from './services/health-service.js';
export type { CallObserver, MethodName } from './transport/grpc-server.js';
export type { TlsMaterial } from './transport/http2-grpc-server.js';
export { ConnectionForwarder } from './transport/connection-forwarder.js';
export { isLocal, parseListenAddress, type ListenAddress } from './transport/listen-address.js';
export { SocketListener } from './transport/socket-listener.js';
export { GrpcCode, GrpcError } from './wire/grpc-status.js';
