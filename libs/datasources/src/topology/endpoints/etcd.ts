import { EndpointError } from '../endpoint-error.js';
import { EndpointReader, splitOnce } from './endpoint-reader.js';

/** One member of an etcd cluster, as clients reach it. */
export interface EtcdAddress {
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** An etcd cluster and how it is reached. */
export interface EtcdEndpoint {
  readonly scheme: 'http' | 'https';
  /** At least one. */
  readonly addresses: readonly EtcdAddress[];
  /** Null: the cluster asks for none, or takes it from the client's certificate. */
  readonly user: string | null;
  readonly password: string | null;
  /** As the server's `--max-txn-ops`. */
  readonly maxTxnOps: number;
  /** As the server's `--max-request-bytes`. */
  readonly maxRequestBytes: number;
}

const DEFAULT_PORT = 2379;
/** Of etcd's server (server/embed/config.go, v3.6). */
const DEFAULT_TXN_OPS = 128;
const DEFAULT_REQUEST_BYTES = 1.5 * 1024 * 1024;
/** A write of one key has to fit, with what the router keeps beside it. */
const LEAST_TXN_OPS = 8;
const LEAST_REQUEST_BYTES = 16 * 1024;

const PARAMETERS = ['max-txn-ops', 'max-request-bytes'];
const EXAMPLE = 'write http://HOST:PORT or https://USER:PASSWORD@HOST:PORT,HOST:PORT';

/** `http://h:p`, `https://user:password@h:p,h:p`, the scheme also before each of several addresses. Throws `EndpointError`; `shown` stands for the text in its reasons. */
export function parseEtcd(text: string, shown: string): EtcdEndpoint {
  const reader = new EtcdReader(shown);
  const endpoint = reader.read(text);
  if (reader.reasons.length > 0) throw new EndpointError(reader.reasons);
  return endpoint;
}

/** Equal for two endpoints when they name the same members, in whatever order. */
export function etcdIdentity({ addresses }: EtcdEndpoint): string {
  const hosts = addresses.map(({ host, port }) => addressText({ host: host.toLowerCase(), port }));
  return `etcd://${[...new Set(hosts)].sort().join(',')}`;
}

/** Where it is, without credentials. */
export function etcdLocation({ scheme, addresses }: EtcdEndpoint): string {
  return `${scheme}://${addresses.map(addressText).join(',')}`;
}

/** `HOST:PORT`, as it stands in a URL. */
export function addressText({ host, port }: EtcdAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

class EtcdReader extends EndpointReader {
  constructor(shown: string) {
    super(shown, DEFAULT_PORT);
  }

  read(text: string): EtcdEndpoint {
    const question = text.indexOf('?');
    const before = question < 0 ? text : text.slice(0, question);
    const parameters = this.parameters(question < 0 ? '' : text.slice(question + 1), PARAMETERS);
    const separator = before.indexOf('://');
    const scheme = before.slice(0, Math.max(separator, 0)).toLowerCase() === 'https' ? 'https' : 'http';
    const target = before.slice(separator < 0 ? 0 : separator + 3);
    // The last @, so that a password may hold one.
    const at = target.lastIndexOf('@');
    const [user, password] = this.#credentials(at < 0 ? null : target.slice(0, at));
    return {
      scheme,
      addresses: this.#addresses(target.slice(at + 1), scheme),
      user,
      password,
      maxTxnOps: this.#number(parameters, 'max-txn-ops', DEFAULT_TXN_OPS, LEAST_TXN_OPS),
      maxRequestBytes: this.#number(parameters, 'max-request-bytes', DEFAULT_REQUEST_BYTES, LEAST_REQUEST_BYTES),
    };
  }

  #credentials(text: string | null): readonly [string | null, string | null] {
    if (text === null) return [null, null];
    const colon = text.indexOf(':');
    if (colon <= 0 || colon === text.length - 1) {
      this.refuse('names a user without a password, or a password without a user; write USER:PASSWORD@HOST:PORT');
      return [null, null];
    }
    return [this.decoded(text.slice(0, colon)), this.decoded(text.slice(colon + 1))];
  }

  #addresses(text: string, scheme: string): EtcdAddress[] {
    const addresses = text.split(',').map((part, i) => {
      const own = /^([a-z]+):\/\/(.*)$/i.exec(part);
      if (own !== null && (i === 0 || own[1]?.toLowerCase() !== scheme)) {
        this.refuse(`has addresses of several schemes; the members of one cluster are reached by ${scheme}:// all`);
      }
      return this.#address(own?.[2] ?? part);
    });
    const texts = addresses.map(addressText);
    const twice = texts.find((address, i) => texts.indexOf(address) !== i);
    if (twice !== undefined) this.refuse(`names ${twice} twice; leave one out`);
    return addresses;
  }

  #address(text: string): EtcdAddress {
    const [address, path] = splitOnce(text, '/');
    if (path !== undefined && path !== '') {
      this.refuse(`has a path ("/${path}"), and an etcd has none; its keys stand under the prefix that kube-apiserver gives them`);
    }
    const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(address);
    const [host, port = ''] = bracketed === null ? splitOnce(address, ':') : [bracketed[1] ?? '', bracketed[2]];
    if (host === '') this.refuse(`names no host; ${EXAMPLE}`);
    return { host, port: this.port(port) };
  }

  #number(parameters: ReadonlyMap<string, string>, name: string, otherwise: number, least: number): number {
    const text = parameters.get(name);
    if (text === undefined) return otherwise;
    const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
    if (number < least) this.refuse(`parameter ${name}=${text} is not supported; use a number from ${least} on, that of the server`);
    return number;
  }
}
