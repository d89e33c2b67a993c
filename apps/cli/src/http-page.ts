import { get } from 'node:http';

/** A page as it was answered; `code` null: no answer within two seconds. */
export interface HttpPage {
  readonly code: number | null;
  readonly text: string;
}

/** Reads a page of a program on this machine; never rejects. */
export function readPage(url: string, signal?: AbortSignal): Promise<HttpPage> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 2000, signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ code: response.statusCode ?? null, text }));
      response.on('error', () => resolve({ code: null, text: '' }));
    });
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.once('error', () => resolve({ code: null, text: '' }));
  });
}

export async function isOk(url: string, signal: AbortSignal): Promise<boolean> {
  return (await readPage(url, signal)).code === 200;
}
