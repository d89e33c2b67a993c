import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger, Registry, type RunningService } from '@harikube/platform';
import { emailFunctionProgram } from './email-function.js';
import { EmailsDouble, sampleEmail } from './spec/emails-double.js';
import { SmtpDouble } from './spec/smtp-double.js';

let folder: string;
let api: EmailsDouble;
let smtp: SmtpDouble;
let running: RunningService;
let url: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-function-'));
  api = await EmailsDouble.start(sampleEmail());
  smtp = await SmtpDouble.start();
  let log = '';
  const logger = createLogger({ format: 'json', debug: false, destination: { write: (text) => (log += text) } });
  const argv = [
    `--kubeconfig=${api.kubeconfig}`,
    '--function-bind-address=127.0.0.1:0',
    '--suppress-lock',
    '--healthcheck-interval=0',
    `--secrets-path=${folder}`,
    '--smtp-host=127.0.0.1',
    `--smtp-port=${smtp.port}`,
    '--smtp-tls-mode=none',
  ];
  running = await emailFunctionProgram.prepare(argv, {}).start({ logger, registry: new Registry() });
  url = `http://127.0.0.1:${(JSON.parse(log) as { port: number }).port}/function/email`;
});

afterEach(async () => {
  await running.close();
  await smtp.close();
  await api.close();
  rmSync(folder, { recursive: true });
});

const post = (): Promise<Response> => fetch(url, { method: 'POST', body: JSON.stringify(sampleEmail()) });

describe('emailFunctionProgram', () => {
  it('sends the mail of an Email that is posted, once', async () => {
    const answers = [await post(), await post()];
    expect(await Promise.all(answers.map((answer) => answer.json()))).toEqual([
      { message: 'Email sent successfully', to: 'jane@shop.example', subject: 'Welcome, Jane' },
      { message: 'already sent', to: 'jane@shop.example', subject: 'Welcome, Jane' },
    ]);
    expect([smtp.mails.length, api.status.lastGeneration]).toEqual([1, 3]);
  });

  it('goes by the files of the secret that are there at each mail', async () => {
    writeFileSync(join(folder, 'smtp-port'), 'wrong');
    expect((await post()).status).toBe(503);
    expect(api.status.errorMessage).toBe('Failed to send email: smtp-port=wrong is not a port; use 1 to 65535');
    const settings = running.checks.ready().find(({ name }) => name === 'smtp-settings');
    await expect(settings?.check(new AbortController().signal)).rejects.toThrow('smtp-port=wrong');
    writeFileSync(join(folder, 'smtp-port'), `${smtp.port}\n`);
    expect((await post()).status).toBe(200);
    await expect(settings?.check(new AbortController().signal)).resolves.toBeUndefined();
  });

  it('is unready when it ends', async () => {
    const ready = (): void => void running.checks.ready()[0]?.check(new AbortController().signal);
    expect(ready).not.toThrow();
    await running.close();
    expect(ready).toThrow('it is ending');
    await expect(post()).rejects.toThrow();
  });
});
