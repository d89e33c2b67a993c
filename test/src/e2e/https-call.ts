import { request } from 'node:https';

export interface HttpsCall {
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Buffer;
}

export interface HttpsAnswer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** One request on a connection of its own to a server on this machine. */
export function httpsCall({ body, ...options }: HttpsCall): Promise<HttpsAnswer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', servername: 'localhost', agent: false, method: 'GET', ...options }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('end', () =>
        resolve({ code: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(parts).toString() }),
      );
      response.once('error', reject);
    });
    call.once('error', reject);
    call.end(body);
  });
}
