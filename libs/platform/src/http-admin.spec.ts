import { describe, expect, it } from '@jest/globals';
import type { HealthCheck, HealthChecks } from './health.module.js';
import { type AdminServer, startAdminServer } from './http-admin.js';
import { createLogger } from './logger.js';
import { Counter, createMetrics } from './metrics.js';

const logger = createLogger({ format: 'plain', debug: false, destination: { write: () => true } });

function check(name: string, isCritical: boolean, reason?: string): HealthCheck {
  return {
    name,
    isCritical,
    check: () => {
      if (reason !== undefined) {
        throw new Error(reason);
      }
    },
  };
}

async function served<T>(checks: Partial<HealthChecks>, use: (url: string, server: AdminServer) => Promise<T>): Promise<T> {
  const registry = createMetrics();
  new Counter({ name: 'shop_orders_total', help: 'orders', registers: [registry] }).inc(3);
  const server = await startAdminServer({
    host: '127.0.0.1',
    port: 0,
    registry,
    checks: { live: () => [], ready: () => [], ...checks },
    logger,
  });
  try {
    return await use(`http://127.0.0.1:${server.port}`, server);
  } finally {
    await server.close();
  }
}

describe('startAdminServer', () => {
  it('serves the metrics of the registry and of the process', async () => {
    await served({}, async (url) => {
      const response = await fetch(`${url}/metrics`);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(response.headers.has('x-powered-by')).toBe(false);
      const text = await response.text();
      expect(text).toContain('shop_orders_total 3\n');
      expect(text).toContain('process_resident_memory_bytes');
    });
  });

  it('is ready while every critical check passes', async () => {
    await served({ ready: () => [check('main', true), check('user', false, 'no such host')] }, async (url) => {
      const short = await fetch(`${url}/readyz`);
      expect([short.status, await short.text()]).toEqual([200, 'ok']);
      const verbose = await fetch(`${url}/readyz?verbose`);
      expect(verbose.status).toBe(200);
      expect(await verbose.text()).toBe('[+]main ok\n[-]user failed (not critical): no such host\nreadyz check passed\n');
    });
  });

  it('shows what a check notes that passes', async () => {
    const noting: HealthCheck = { name: 'writer', isCritical: true, check: () => 'standby, active is 192.0.2.1:2379' };
    await served({ ready: () => [noting] }, async (url) => {
      expect(await (await fetch(`${url}/readyz`)).text()).toBe('ok');
      expect(await (await fetch(`${url}/readyz?verbose`)).text()).toBe(
        '[+]writer ok: standby, active is 192.0.2.1:2379\nreadyz check passed\n',
      );
    });
  });

  it('is not ready when a critical check fails, and says which', async () => {
    await served({ ready: () => [check('main', true, 'disk is full'), check('user', false)] }, async (url) => {
      const response = await fetch(`${url}/readyz`);
      expect(response.status).toBe(503);
      expect(response.headers.get('content-type')).toContain('text/plain');
      expect(await response.text()).toBe('[-]main failed: disk is full\n[+]user ok\nreadyz check failed\n');
      expect((await fetch(`${url}/livez`)).status).toBe(200);
    });
  });

  it('asks for the checks of the moment', async () => {
    let checks: HealthCheck[] = [];
    await served({ ready: () => checks, live: () => checks }, async (url) => {
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      checks = [check('main', true, 'gone')];
      expect((await fetch(`${url}/readyz`)).status).toBe(503);
      expect((await fetch(`${url}/livez`)).status).toBe(503);
    });
  });

  it('takes a check that does not answer for a failed one', async () => {
    const silent: HealthCheck = { name: 'main', isCritical: true, check: () => new Promise(() => undefined) };
    await served({ ready: () => [silent] }, async (url) => {
      const response = await fetch(`${url}/readyz`);
      expect([response.status, await response.text()]).toEqual([503, '[-]main failed: no answer within 2 seconds\nreadyz check failed\n']);
    });
  });

  it('answers 404 elsewhere', async () => {
    await served({}, async (url) => {
      expect((await fetch(`${url}/`)).status).toBe(404);
    });
  });

  it('says that its port is in use', async () => {
    await served({}, async (_, { port }) => {
      const second = startAdminServer({
        host: '127.0.0.1',
        port,
        registry: createMetrics(),
        checks: { live: () => [], ready: () => [] },
        logger,
      });
      await expect(second).rejects.toThrow(
        `cannot serve metrics and health on 127.0.0.1:${port}: the port is in use; choose another address, or 0 for none`,
      );
    });
  });
});
