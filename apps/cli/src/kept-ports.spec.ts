import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { keptPorts } from './kept-ports.js';

describe('kept ports', () => {
  let folder = '';
  let file = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ports-'));
    file = join(folder, 'ports.json');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('are the same at the next start, and differ from each other', async () => {
    const ports = await keptPorts(file, ['web', 'mail']);
    expect(ports.web).not.toBe(ports.mail);
    expect(await keptPorts(file, ['mail', 'web'])).toEqual(ports);
  });

  it('are chosen anew when another program has them', async () => {
    const ports = await keptPorts(file, ['web', 'mail']);
    const server = createServer().listen(ports.web, '127.0.0.1');
    await once(server, 'listening');
    const next = await keptPorts(file, ['web', 'mail']);
    server.close();
    await once(server, 'close');
    expect(next.mail).toBe(ports.mail);
    expect(next.web).not.toBe(ports.web);
    expect(await keptPorts(file, ['web', 'mail'])).toEqual(next);
  });

  it('stay known while they are not asked for', async () => {
    const ports = await keptPorts(file, ['web', 'mail']);
    await keptPorts(file, ['web']);
    expect(await keptPorts(file, ['mail'])).toEqual({ mail: ports.mail });
  });

  it.each(['', '{', '[]', 'null', '{"web":"80"}', '{"web":70000}'])('are chosen anew when the file holds %j', async (text) => {
    writeFileSync(file, text);
    const { web } = await keptPorts(file, ['web']);
    expect(web).toBeGreaterThan(0);
    expect(web).toBeLessThan(65_536);
  });
});
