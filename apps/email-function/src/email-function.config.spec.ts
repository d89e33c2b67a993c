import { describe, expect, it } from '@jest/globals';
import { ConfigError, parseFlags, serviceSettings, SERVICE_FLAGS } from '@harikube/platform';
import { EMAIL_FUNCTION_FLAGS, type EmailFunctionConfig, emailFunctionConfig } from './email-function.config.js';

function parse(argv: readonly string[] = [], env: Record<string, string> = {}): EmailFunctionConfig {
  const settings = parseFlags({ flags: [...EMAIL_FUNCTION_FLAGS, ...SERVICE_FLAGS] }, argv, env);
  const config = emailFunctionConfig(settings, serviceSettings(settings), env);
  settings.finish();
  return config;
}

function reasons(argv: readonly string[], env: Record<string, string> = {}): readonly string[] {
  try {
    parse(argv, env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.reasons;
    throw error;
  }
}

describe('emailFunctionConfig', () => {
  it('has of-watchdog’s defaults, and sends and answers within the ten seconds of a trigger', () => {
    expect(parse()).toMatchObject({
      watchdog: {
        listen: { host: '', port: 8080 },
        readTimeoutMs: 30_000,
        writeTimeoutMs: 30_000,
        healthcheckIntervalMs: 30_000,
        maxInFlight: 0,
        lockFile: '/tmp/.lock',
      },
      secretsPath: '/var/openfaas/secrets',
      smtp: {},
      limits: { sendMs: 8000, answerMs: 9500 },
    });
  });

  it('takes OpenFaaS’s environment, with durations and with seconds', () => {
    const env = {
      port: '9090',
      read_timeout: '5',
      write_timeout: '1m',
      healthcheck_interval: '2s',
      max_inflight: '7',
      suppress_lock: 'true',
    };
    expect(parse([], env).watchdog).toEqual({
      listen: { host: '', port: 9090 },
      readTimeoutMs: 5000,
      writeTimeoutMs: 60_000,
      healthcheckIntervalMs: 2000,
      maxInFlight: 7,
      lockFile: null,
    });
    expect(parse([], { write_timeout: '20s' }).watchdog.healthcheckIntervalMs).toBe(20_000);
    expect(parse(['--function-bind-address=127.0.0.1:1'], env).watchdog.listen).toEqual({ host: '127.0.0.1', port: 1 });
  });

  it('leaves time for the status, whatever the limit', () => {
    expect(parse([], { exec_timeout: '5s' }).limits).toEqual({ sendMs: 3500, answerMs: 5000 });
    expect(parse([], { exec_timeout: '1s' }).limits).toEqual({ sendMs: 500, answerMs: 1000 });
    expect(parse([], { exec_timeout: '0' }).limits).toEqual({ sendMs: 8000, answerMs: 9500 });
    expect(parse(['--smtp-timeout=20s'], { exec_timeout: '1m' }).limits).toEqual({ sendMs: 20_000, answerMs: 21_500 });
    expect(parse(['--smtp-timeout=0'], { exec_timeout: '0' }).limits.sendMs).toBeGreaterThan(86_400_000);
  });

  it('takes the settings of SMTP from the environment, and flags before it', () => {
    const env = { SMTP_HOST: 'mail.example', SMTP_PORT: '25', SMTP_USERNAME: 'shop', SMTP_PASSWORD: 'pw', SMTP_USE_TLS: 'false' };
    const all = { 'smtp-host': 'mail.example', 'smtp-port': '25', 'smtp-username': 'shop', 'smtp-password': 'pw', 'smtp-use-tls': 'false' };
    expect(parse([], env).smtp).toEqual(all);
    expect(parse(['--smtp-host=other.example'], env).smtp).toEqual({ ...all, 'smtp-host': 'other.example' });
  });

  it('refuses what cannot be used', () => {
    expect(reasons(['--smtp-port=x'])).toEqual(['smtp-port=x is not a port; use 1 to 65535']);
    expect(reasons([], { SMTP_USE_TLS: 'maybe' })).toEqual([expect.stringContaining('smtp-use-tls=maybe')]);
    expect(reasons([], { read_timeout: 'soon', max_inflight: '-1' })).toEqual([
      expect.stringContaining('read_timeout=soon'),
      expect.stringContaining('max_inflight=-1'),
    ]);
    expect(reasons(['--function-bind-address=0'])).toEqual([expect.stringContaining('would leave nothing to ask')]);
  });
});
