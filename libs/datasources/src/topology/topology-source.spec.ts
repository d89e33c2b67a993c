import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TopologyError } from './topology-error.js';
import { fetchTopologyText, loadTopology, parseTopologySource, topologySourceName } from './topology-source.js';

const yaml = 'backends:\n- name: pods\n  endpoint: sqlite://pods.db\n  prefix: {prefix: pods}\n';

describe('parseTopologySource', () => {
  it('reads files and URLs', () => {
    expect(parseTopologySource('file:///etc/topology.yaml')).toEqual({ type: 'file', path: '/etc/topology.yaml' });
    expect(parseTopologySource('file://./topology.yaml', '/etc')).toEqual({ type: 'file', path: '/etc/topology.yaml' });
    expect(parseTopologySource('file://topology.yaml', '/etc')).toEqual({ type: 'file', path: '/etc/topology.yaml' });
    expect(parseTopologySource('https://h/t')).toEqual({ type: 'http', url: 'https://h/t' });
    expect(parseTopologySource('secret://harikube/topology-config')).toEqual({
      type: 'secret',
      namespace: 'harikube',
      name: 'topology-config',
    });
  });

  it.each([
    ['secret://harikube', '"secret://harikube" names no Secret; write secret://NAMESPACE/NAME'],
    ['secret://harikube/topology-config/1.yaml', 'names no Secret'],
    ['secret://Harikube/topology-config', 'names no Secret'],
    ['secret:///topology-config', 'names no Secret'],
    ['topology.yaml', 'has no scheme; write file://PATH, an http(s) URL or secret://NAMESPACE/NAME'],
    ['fiel:///x', 'unknown scheme "fiel" (did you mean "file"?)'],
    ['file://', 'names no file'],
    ['http://', 'is not a valid URL'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseTopologySource(text)).toThrow(reason);
  });

  it('is named without credentials', () => {
    expect(topologySourceName(parseTopologySource('https://u:pw@h/t'))).toBe('https://u:***@h/t');
    expect(topologySourceName(parseTopologySource('secret://harikube/topology-config'))).toBe('secret://harikube/topology-config');
  });
});

describe('loadTopology', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'topology-source-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  async function file(content: string | Uint8Array): Promise<{ type: 'file'; path: string }> {
    const path = join(directory, 'topology.yaml');
    await writeFile(path, content);
    return { type: 'file', path };
  }

  async function served<T>(listener: RequestListener, use: (host: string) => Promise<T>): Promise<T> {
    const server = createServer(listener);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    try {
      const address = server.address();
      return await use(`127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`);
    } finally {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
  }

  it('reads a file', async () => {
    expect((await loadTopology(await file(yaml))).registeredNames()).toEqual(['pods', 'main']);
  });

  it('names the file in what it refuses', async () => {
    const source = await file('backends: 1');
    await expect(loadTopology(source)).rejects.toThrow(
      new TopologyError([{ file: source.path, line: 1, column: 11, path: 'backends', message: 'must be a list, is the number 1' }]),
    );
  });

  it('says why a file cannot be read', async () => {
    const path = join(directory, 'absent.yaml');
    await expect(loadTopology({ type: 'file', path })).rejects.toThrow(`cannot read topology ${path}: there is no such file`);
    await expect(loadTopology({ type: 'file', path: directory })).rejects.toThrow('it is a directory');
    await expect(loadTopology(await file(Buffer.from([0xff, 0xfe, 0x00])))).rejects.toThrow('is not UTF-8 text');
    await expect(loadTopology(await file(Buffer.alloc(2 ** 20 + 1, '#')))).rejects.toThrow('is larger than');
  });

  it('reads a URL, with its credentials in a header', async () => {
    let authorization: string | undefined;
    const topology = await served(
      (request, response) => {
        authorization = request.headers.authorization;
        response.end(yaml);
      },
      (host) => loadTopology({ type: 'http', url: `http://shop:p%40ss@${host}/topology` }),
    );
    expect(topology.registeredNames()).toEqual(['pods', 'main']);
    expect(authorization).toBe(`Basic ${Buffer.from('shop:p@ss').toString('base64')}`);
  });

  it('takes no answer but a good one for a topology', async () => {
    await served(
      (_, response) => {
        response.writeHead(404).end('backends: []');
      },
      async (host) => {
        await expect(loadTopology({ type: 'http', url: `http://u:pw@${host}/t` })).rejects.toThrow(
          `cannot read topology http://u:***@${host}/t: the server answered 404`,
        );
      },
    );
    await served(
      (_, response) => {
        response.write('backends: []');
        response.destroy();
      },
      async (host) => {
        await expect(loadTopology({ type: 'http', url: `http://${host}/t` })).rejects.toThrow('cannot read topology');
      },
    );
  });

  it('stops when it is told to', async () => {
    const stopping = new AbortController();
    await served(
      () => {
        stopping.abort();
      },
      async (host) => {
        await expect(loadTopology({ type: 'http', url: `http://${host}/t` }, {}, stopping.signal)).rejects.toThrow('cannot read topology');
      },
    );
  });

  it('leaves a Secret to a router that runs', async () => {
    await expect(loadTopology({ type: 'secret', namespace: 'harikube', name: 'topology-config' })).rejects.toThrow(
      'secret://harikube/topology-config is read by a router that runs, through kube-apiserver; ask that router',
    );
  });
});

describe('fetchTopologyText', () => {
  let server: Server;
  let url: string;
  let respond: RequestListener;
  const asked: IncomingHttpHeaders[] = [];

  beforeAll(async () => {
    server = createServer((request, response) => {
      asked.push(request.headers);
      respond(request, response);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const address = server.address();
    url = `http://shop:secret@127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}/t`;
  });

  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  });

  it('keeps what the server tells texts apart by, and shows it the next time', async () => {
    const validators = { etag: '"7"', lastModified: 'Thu, 01 Jan 2026 00:00:00 GMT' };
    respond = (request, response) => {
      const isKnown = request.headers['if-none-match'] === '"7"';
      response.writeHead(isKnown ? 304 : 200, { etag: '"7"', 'last-modified': validators.lastModified }).end(isKnown ? undefined : yaml);
    };
    asked.length = 0;
    const first = await fetchTopologyText(url);
    expect(first).toMatchObject({ text: yaml, ...validators });
    expect(await fetchTopologyText(url, { known: first })).toBe(first);
    expect(asked.map((headers) => [headers['if-none-match'], headers['if-modified-since']])).toEqual([
      [undefined, undefined],
      ['"7"', validators.lastModified],
    ]);
  });

  it('takes no text for the known one that the server was not asked about', async () => {
    respond = (_, response) => response.writeHead(304).end();
    await expect(fetchTopologyText(url, { known: { text: yaml, etag: null, lastModified: null } })).rejects.toThrow(
      'the server answered 304',
    );
    await expect(loadTopology({ type: 'http', url })).rejects.toThrow('the server answered 304');
  });

  it('gives up a server that hangs, and shows no credentials', async () => {
    respond = () => undefined;
    await expect(fetchTopologyText(url, { timeoutMs: 50 })).rejects.toThrow(
      `cannot read topology ${url.replace('secret', '***')}: no answer within 0.05 seconds`,
    );
  });
});
