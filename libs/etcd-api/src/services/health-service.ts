import { decodeHealthCheckRequest, encodeHealthCheckResponse, encodeHealthListResponse, ServingStatus } from '../codec/health.js';
import type { RouteTable, StreamCall, StreamHandler } from '../transport/grpc-server.js';
import { GrpcCode, GrpcError } from '../wire/grpc-status.js';
import type { Reply } from '../wire/reply.js';
import { WireReader } from '../wire/wire-reader.js';

/** `grpc.health.v1.Health`. The empty name stands for the whole server; no other service is told apart. */
export class HealthService {
  private status: ServingStatus = ServingStatus.Serving;
  private readonly watchers = new Set<StreamCall>();

  get isServing(): boolean {
    return this.status === ServingStatus.Serving;
  }

  /** Tells everybody who asks or watches from here on. */
  setServing(isServing: boolean): void {
    const status = isServing ? ServingStatus.Serving : ServingStatus.NotServing;
    if (status === this.status) return;
    this.status = status;
    for (const call of this.watchers) call.send(encodeHealthCheckResponse(status));
  }

  routes(): RouteTable {
    return {
      '/grpc.health.v1.Health/Check': { kind: 'unary', cancellable: true, handle: (message) => this.check(message) },
      '/grpc.health.v1.Health/List': {
        kind: 'unary',
        cancellable: true,
        handle: async () => encodeHealthListResponse(new Map([['', this.status]])),
      },
      '/grpc.health.v1.Health/Watch': { kind: 'stream', type: 'server_stream', open: (call) => this.watch(call) },
    };
  }

  private async check(message: Buffer): Promise<Reply> {
    const service = decodeHealthCheckRequest(new WireReader(message));
    if (service !== '') throw new GrpcError(GrpcCode.NotFound, `unknown service ${service}`);
    return encodeHealthCheckResponse(this.status);
  }

  private watch(call: StreamCall): StreamHandler {
    return {
      message: (message) => {
        const service = decodeHealthCheckRequest(new WireReader(message));
        // A service that is not there may come later: the protocol keeps the stream open.
        if (service === '') this.watchers.add(call);
        call.send(encodeHealthCheckResponse(service === '' ? this.status : ServingStatus.ServiceUnknown));
      },
      halfClosed: () => {},
      drained: () => {},
      closed: () => {
        this.watchers.delete(call);
      },
    };
  }
}
