import { createServer, type RequestListener, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ToldReadings } from '../spec/told-readings.js';
import { HttpWatcher } from './http-watcher.js';

let server: Server;
let url: string;
let respond: RequestListener;
/** Of each request, by what it asked for a change. */
let asked: (string | undefined)[];
let told: ToldReadings;
let watcher: HttpWatcher;

beforeEach(async () => {
  asked = [];
  told = new ToldReadings();
  server = createServer((request, response) => {
    asked.push(request.headers['if-none-match']);
    respond(request, response);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const address = server.address();
  url = `http://shop:secret@127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}/t`;
  watcher = new HttpWatcher({ url, pollMs: 5, timeoutMs: 200 });
});

afterEach(async () => {
  await watcher.close();
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

/** Serves a text under its ETag. */
function serve(text: string): void {
  respond = (request, response) => {
    const etag = `"${text}"`;
    if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(text);
  };
}

describe('HttpWatcher', () => {
  it('tells the text, is not sent it twice, and tells the next one', async () => {
    serve('one');
    watcher.start(told.take);
    await told.text('one');
    await told.first(() => told.all.length >= 3);
    serve('two');
    await told.text('two');
    expect(asked.slice(0, 3)).toEqual([undefined, '"one"', '"one"']);
    expect(new Set(told.all.map((reading) => JSON.stringify(reading))).size).toBe(2);
  });

  it('says that the server fails, hides the password, and means the text that it knows when the server is back', async () => {
    serve('one');
    watcher.start(told.take);
    await told.text('one');
    respond = (_, response) => response.writeHead(500).end('backends: []');
    await told.unreadable(`cannot read topology ${url.replace('secret', '***')}: the server answered 500`);
    const { length } = told.all;
    serve('one');
    await told.first((reading) => told.all.length > length && reading.type === 'read');
    expect(JSON.stringify(told.all)).not.toContain('secret');
  });

  it('gives up a server that hangs, and asks again', async () => {
    respond = () => undefined;
    watcher.start(told.take);
    await told.unreadable('no answer within 0.2 seconds');
    serve('one');
    await told.text('one');
  });

  it('ends a question that is under way', async () => {
    const waiting = new Promise<void>((resolve) => {
      respond = () => resolve();
    });
    watcher.start(told.take);
    await waiting;
    await watcher.close();
    expect(told.all).toEqual([]);
  });
});
