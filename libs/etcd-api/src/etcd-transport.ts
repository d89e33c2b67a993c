import type { CustomTransportStrategy } from '@nestjs/microservices';
import type { EtcdServer } from './etcd-server.js';

/**
 * The etcd API as a Nest microservice. Calls go by the server's own route table, not by Nest's message patterns: guards,
 * pipes and Observables cost more than a whole call does.
 */
export class EtcdTransport implements CustomTransportStrategy {
  constructor(private readonly server: EtcdServer) {}

  listen(callback: (error?: unknown) => void): void {
    this.server.start().then(
      () => callback(),
      (error: unknown) => callback(error),
    );
  }

  close(): Promise<void> {
    return this.server.close();
  }
}
