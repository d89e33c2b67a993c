import type { Route } from '../transport/grpc-server.js';

/** A method that is known and refused by name, whatever the request says. */
export function refusedMethod(error: Error): Route {
  return { kind: 'unary', cancellable: true, handle: () => Promise.reject(error) };
}
