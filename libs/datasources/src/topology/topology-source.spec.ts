import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TopologyError } from './topology-error.js';
import { loadTopology, parseTopologySource, topologySourceName } from './topology-source.js';

const yaml = 'backends:\n- name: pods\n  endpoint: sqlite://pods.db\n  prefix: {prefix: pods}\n';

describe('parseTopologySource', () => {
  it('reads files and URLs', () => {
    expect(parseTopologySource('file:///etc/topology.yaml')).toEqual({ type: 'file', path: '/etc/topology.yaml' });
    expect(parseTopologySource('file://./topology.yaml', '/etc')).toEqual({ type: 'file', path: '/etc/topology.yaml' });
    expect(parseTopologySource('file://topology.yaml', '/etc')).toEqual({ type: 'file', path: '/etc/topology.yaml' });
    expect(parseTopologySource('https://h/t')).toEqual({ type: 'http', url: 'https://h/t' });
  });

  it.each([
    ['secret://harikube/topology-config', 'a topology in a Kubernetes Secret is not supported in this version'],
    ['topology.yaml', 'has no scheme; write file://PATH or an http(s) URL'],
    ['fiel:///x', 'unknown scheme "fiel" (did you mean "file"?)'],
    ['file://', 'names no file'],
    ['http://', 'is not a valid URL'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseTopologySource(text)).toThrow(reason);
  });

  it('is named without credentials', () => {
    expect(topologySourceName(parseTopologySource('https://u:pw@h/t'))).toBe('https://u:***@h/t');
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
});
