import { isNativeError } from 'node:util/types';

/** Why an address cannot be listened on, in words. */
export function listenReason(error: unknown): string {
  const code = isNativeError(error) && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return 'the port is in use';
    case 'EACCES':
      return 'this user may not use the port';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'the host is not an address of this machine';
    default:
      return isNativeError(error) ? error.message : String(error);
  }
}
