import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type Clock, systemClock } from '@harikube/kube';
import { FakeClock } from '@harikube/kube/fake-clock';
import { createLogger, Registry } from '@harikube/platform';
import { type Pem, selfSigned } from '@harikube/platform/self-signed';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { EmailHandler, type FunctionAnswer } from './email-handler.js';
import { FunctionMetrics } from './function-metrics.js';
import { Mailer } from './mailer.js';
import { smtpSettings, type SmtpTexts } from './smtp-settings.js';
import { EmailsDouble, sampleEmail } from './spec/emails-double.js';
import { SmtpDouble, type SmtpScript } from './spec/smtp-double.js';

const MESSAGE_ID = '<uid-1.3@webshop.example>';
const SECRET = 'Secret-Canary-1';
let api: EmailsDouble;
let log: string;
let registry: Registry;
const closes: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  log = '';
  registry = new Registry();
  api = await EmailsDouble.start(sampleEmail());
  closes.push(() => api.close());
});

afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close();
});

interface Setup {
  readonly smtp?: SmtpTexts;
  readonly clock?: Clock;
  readonly silenceMs?: number;
  readonly isDebug?: boolean;
  readonly sendMs?: number;
}

function handlerFor(
  port: number,
  { smtp = {}, clock = systemClock, silenceMs = 7000, isDebug = false, sendMs = 8000 }: Setup = {},
): EmailHandler {
  const texts = { 'smtp-host': '127.0.0.1', 'smtp-port': String(port), 'smtp-use-tls': 'false', ...smtp };
  const metrics = new FunctionMetrics(registry);
  const limits = { connectMs: 7000, greetingMs: silenceMs, silenceMs };
  return new EmailHandler({
    client: api.client,
    mailer: new Mailer({ settings: async () => smtpSettings(texts), limits, metrics }),
    clock,
    metrics,
    logger: createLogger({ format: 'json', debug: isDebug, destination: { write: (text) => (log += text) } }),
    limits: { sendMs, answerMs: sendMs + 1500 },
  });
}

/** When nobody is at sending any more who has begun just now. */
const later: Clock = { ...systemClock, now: () => systemClock.now() + 10_001 };

async function smtpDouble(script: SmtpScript = {}): Promise<SmtpDouble> {
  const double = await SmtpDouble.start(script);
  closes.push(() => double.close());
  return double;
}

async function smtpServer(options: SMTPServerOptions): Promise<{ port: number; mails: string[]; logins: string[] }> {
  const mails: string[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    disableReverseLookup: true,
    logger: false,
    onAuth: ({ username, password }, _session, callback) => {
      logins.push(`${username}:${password}`);
      if (password === SECRET) callback(null, { user: username });
      else callback(new Error(`no such login: ${password}`));
    },
    onData: (stream, _session, callback) => {
      let text = '';
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
      stream.on('end', () => {
        mails.push(text);
        callback();
      });
    },
    ...options,
  });
  server.on('error', () => undefined);
  const listening = server.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  closes.push(() => new Promise<void>((resolve) => server.close(resolve)));
  return { port: (listening.address() as AddressInfo).port, mails, logins };
}

const posted = (email: unknown = sampleEmail()): Uint8Array => Buffer.from(JSON.stringify(email));
const count = async (result: string): Promise<number> => {
  const { values } = (await registry.getSingleMetric('harikube_email_mails_total')?.get()) ?? { values: [] };
  return values.find(({ labels }) => labels['result'] === result)?.value ?? 0;
};

/** What a mail that was not sent says, and where. */
function expectFailure(answer: FunctionAnswer, code: number, reason: RegExp): void {
  expect(answer.code).toBe(code);
  expect(answer.retryAfterSeconds === undefined).toBe(code !== 503);
  expect(answer.body.message).toMatch(/^Failed to send email: /);
  expect(Object.keys(answer.body)).toEqual(['message']);
  expect(answer.body.message).toMatch(reason);
  expect(api.status).toEqual({ lastGeneration: 3, errorMessage: answer.body.message, errorTimestamp: expect.stringMatching(/^20.*Z$/) });
}

describe('EmailHandler and an SMTP server that', () => {
  const table: readonly [title: string, script: SmtpScript, code: number, reason: RegExp][] = [
    ['says nothing', { greeting: 'hang' }, 503, /no answer in time/],
    ['does not greet', { greeting: '554 go away' }, 503, /554 go away/],
    ['ends the connection instead of greeting', { greeting: 'drop' }, 503, /closed|reset/i],
    ['hangs at EHLO', { ehlo: 'hang' }, 503, /no answer in time/],
    ['is about to restart', { ehlo: '421 restarting' }, 503, /421 restarting/],
    ['hangs at MAIL', { mail: 'hang' }, 503, /no answer in time/],
    ['defers the sender', { mail: '451 later' }, 503, /451 later/],
    ['refuses the sender', { mail: '550 not you' }, 422, /550 not you/],
    ['wants a login at MAIL', { mail: '530 log in first' }, 503, /530 log in/],
    ['hangs at RCPT', { rcpt: 'hang' }, 503, /no answer in time/],
    ['defers the recipient', { rcpt: '450 greylisted' }, 503, /450 greylisted/],
    ['refuses the recipient', { rcpt: '550 5.1.1 no such user' }, 422, /550 5\.1\.1 no such user/],
    ['drops the connection at RCPT', { rcpt: 'drop' }, 503, /closed|reset/i],
    ['hangs at DATA', { data: 'hang' }, 503, /no answer in time/],
    ['defers the data', { data: '451 no space' }, 503, /451 no space/],
    ['refuses the data', { data: '554 no data' }, 422, /554 no data/],
    ['says that the order is wrong', { data: '503 bad sequence' }, 503, /503 bad sequence/],
    ['hangs after the mail', { message: 'hang' }, 503, /no answer in time/],
    ['defers the mail', { message: '452 try later' }, 503, /452 try later/],
    ['refuses the mail', { message: '554 5.7.1 looks like spam' }, 422, /554 5\.7\.1 looks like spam/],
    ['drops the connection after the mail', { message: 'drop' }, 503, /closed|reset/i],
    ['shuts down after the mail', { message: '421 shutting down' }, 503, /421/],
  ];

  for (const [title, script, code, reason] of table) {
    it(`${title} makes it answer ${code}, with the reason in the status`, async () => {
      const smtp = await smtpDouble(script);
      // Only who says nothing is to be found out soon: a slow machine answers late, too.
      const setup = Object.values(script).includes('hang') ? { silenceMs: 80 } : {};
      expectFailure(await handlerFor(smtp.port, setup).handle(posted()), code, reason);
      expect(await count(code === 422 ? 'refused' : 'temporary')).toBe(1);
    });
  }

  it('is not there makes it answer 503, with the reason in the status', async () => {
    const smtp = await SmtpDouble.start();
    const { port } = smtp;
    await smtp.close();
    expectFailure(await handlerFor(port).handle(posted()), 503, /ECONNREFUSED/);
  });

  it('has no name in DNS makes it answer 503', async () => {
    expectFailure(await handlerFor(25, { smtp: { 'smtp-host': 'smtp.invalid' } }).handle(posted()), 503, /smtp\.invalid/);
  });

  it('takes longer in all than a request may makes it answer 503', async () => {
    const smtp = await smtpDouble({ mail: 'hang' });
    const clock = new FakeClock();
    const answer = handlerFor(smtp.port, { clock }).handle(posted());
    await new Promise<void>((resolve) => {
      const look = (): void => (smtp.commands.some((command) => command.startsWith('MAIL')) ? resolve() : void setImmediate(look));
      look();
    });
    await clock.advance(8000);
    expectFailure(await answer, 503, /no answer in time/);
  });

  describe('has TLS', () => {
    const starttls = { 'smtp-use-tls': 'true', 'smtp-host': 'localhost' };
    const implicit = { 'smtp-tls-mode': 'implicit', 'smtp-host': 'localhost' };
    const trusted = selfSigned('localhost');
    const expired = selfSigned('localhost', new Date('2021-01-01T00:00:00Z'));
    const foreign = selfSigned('other.example');

    for (const [mode, texts, isSecure] of [
      ['STARTTLS', starttls, false],
      ['implicit TLS', implicit, true],
    ] as const) {
      it(`by ${mode} is sent the mail when its certificate is right`, async () => {
        const { port, mails } = await smtpServer({ ...pemOf(trusted), secure: isSecure, authOptional: true });
        const answer = await handlerFor(port, { smtp: { ...texts, 'smtp-ca': trusted.cert } }).handle(posted());
        expect([answer.code, mails.length]).toEqual([200, 1]);
      });

      it(`by ${mode} is sent nothing when its certificate is wrong`, async () => {
        const wrong: readonly [Pem, string | undefined, RegExp][] = [
          [trusted, undefined, /self.signed/i],
          [foreign, foreign.cert, /altnames|does not match/i],
          [expired, expired.cert, /expired/i],
        ];
        for (const [pem, authority, reason] of wrong) {
          const { port, mails } = await smtpServer({ ...pemOf(pem), secure: isSecure, authOptional: true });
          const smtp = authority === undefined ? texts : { ...texts, 'smtp-ca': authority };
          expectFailure(await handlerFor(port, { smtp }).handle(posted()), 503, reason);
          expect(mails).toEqual([]);
        }
      });
    }

    it('taken away on the way is sent nothing, neither a login nor a mail', async () => {
      const smtp = await smtpDouble({ ehlo: '250-double\r\n250 AUTH PLAIN' });
      const texts = { ...starttls, 'smtp-username': 'shop', 'smtp-password': SECRET };
      expectFailure(await handlerFor(smtp.port, { smtp: texts }).handle(posted()), 503, /STARTTLS/);
      expect(smtp.commands.filter((command) => /AUTH|MAIL/.test(command))).toEqual([]);
    });

    it('and does not get as far as that is sent nothing', async () => {
      const troubles: readonly [SmtpScript, RegExp][] = [
        [{ starttls: '454 not at the moment' }, /454 not at the moment/],
        [{ starttls: 'drop' }, /closed|reset/i],
        [{ starttls: '220 go on, and then silence' }, /no answer in time/],
      ];
      for (const [script, reason] of troubles) {
        const smtp = await smtpDouble(script);
        const isSilent = reason.source === 'no answer in time';
        const handler = handlerFor(smtp.port, { smtp: starttls, ...(isSilent ? { silenceMs: 80 } : {}) });
        expectFailure(await handler.handle(posted()), 503, reason);
        expect(smtp.mails).toEqual([]);
      }
    });

    it('and wants a login gets it, and a wrong one is a failure that another try may heal', async () => {
      const { port, mails, logins } = await smtpServer(pemOf(trusted));
      const smtp = { ...starttls, 'smtp-ca': trusted.cert, 'smtp-username': 'shop' };
      const wrong = handlerFor(port, { smtp: { ...smtp, 'smtp-password': 'Wrong-Canary-2' }, isDebug: true });
      const answer = await wrong.handle(posted());
      expectFailure(answer, 503, /535.*no such login: \*\*\*/);
      expect(log + JSON.stringify(api.email)).not.toContain('Canary-2');
      expect((await handlerFor(port, { smtp: { ...smtp, 'smtp-password': SECRET } }).handle(posted())).code).toBe(200);
      expect([mails.length, logins.at(-1)]).toEqual([1, `shop:${SECRET}`]);
    });

    it('is never asked without the login that is configured', async () => {
      const { port, mails } = await smtpServer({ ...pemOf(trusted), disabledCommands: ['AUTH'] });
      const smtp = { ...starttls, 'smtp-ca': trusted.cert, 'smtp-username': 'shop', 'smtp-password': SECRET };
      expect((await handlerFor(port, { smtp }).handle(posted())).code).toBe(503);
      expect(mails).toEqual([]);
    });
  });
});

function pemOf({ cert, key }: Pem): { cert: string; key: string } {
  return { cert, key };
}

describe('EmailHandler', () => {
  it('sends the mail, says so in the status and takes an earlier error away', async () => {
    const smtp = await smtpDouble();
    api.email = { ...sampleEmail(), status: { lastGeneration: 2, errorMessage: 'before', errorTimestamp: '2026-01-01T00:00:00Z' } };
    const answer = await handlerFor(smtp.port).handle(posted());
    expect(answer).toEqual({
      code: 200,
      body: { message: 'Email sent successfully', to: 'jane@shop.example', subject: 'Welcome, Jane' },
    });
    expect(api.status).toEqual({ lastGeneration: 3, sentTimestamp: expect.stringMatching(/^20\d\d-.*Z$/) });
    expect(smtp.commands.filter((command) => /MAIL|RCPT/.test(command)).map((command) => command.split(/ SIZE| BODY/)[0])).toEqual([
      'MAIL FROM:<noreply@webshop.example>',
      'RCPT TO:<jane@shop.example>',
    ]);
    const [mail = ''] = smtp.mails;
    expect(mail).toContain(`Message-ID: ${MESSAGE_ID}`);
    expect(mail).toContain('From: The Webshop <noreply@webshop.example>');
    expect(mail).toMatch(/^Date: .*20\d\d/m);
    expect(mail).toMatch(/text\/plain[^]*Hello Jane[^]*text\/html[^]*Hello <b>Jane<\/b>/);
  });

  it('logs nobody’s address and no subject', async () => {
    const smtp = await smtpDouble({ rcpt: '550 jane@shop.example is unknown' });
    await handlerFor(smtp.port).handle(posted());
    smtp.script = {};
    await handlerFor(smtp.port).handle(posted());
    expect(log).toContain('shop/jane-welcome');
    expect(log).not.toMatch(/jane@|noreply@|Welcome/);
  });

  it('sends what the Email says by now, whatever was posted', async () => {
    const smtp = await smtpDouble();
    api.email = sampleEmail({ subject: 'Corrected' }, { generation: 4 });
    expect((await handlerFor(smtp.port).handle(posted())).body.subject).toBe('Corrected');
    expect(smtp.mails[0]).toContain('Message-ID: <uid-1.4@webshop.example>');
    expect(api.status.lastGeneration).toBe(4);
  });

  it('sends nothing for an Email that is gone, is another one by now, or is being deleted', async () => {
    const smtp = await smtpDouble();
    const emails = [null, sampleEmail({}, { uid: 'uid-2' }), sampleEmail({}, { deletionTimestamp: '2026-01-01T00:00:00Z' })];
    for (const email of emails) {
      api.email = email;
      expect(await handlerFor(smtp.port).handle(posted())).toEqual({
        code: 200,
        body: { message: 'nothing was sent: the Email is gone' },
      });
    }
    expect([smtp.commands, await count('gone')]).toEqual([[], 3]);
  });

  it('does not send again what was sent', async () => {
    const smtp = await smtpDouble();
    const handler = handlerFor(smtp.port);
    await handler.handle(posted());
    const before = api.email;
    expect(await handler.handle(posted())).toMatchObject({ code: 200, body: { message: 'already sent', to: 'jane@shop.example' } });
    expect(await handlerFor(smtp.port).handle(posted())).toMatchObject({ code: 200, body: { message: 'already sent' } });
    expect([smtp.mails.length, api.email]).toEqual([1, before]);
  });

  it('lets a second request for one Email wait for the first, and others go on', async () => {
    const smtp = await smtpDouble({ message: 'hang' });
    const handler = handlerFor(smtp.port, { silenceMs: 1500 });
    const first = handler.handle(posted());
    const second = handler.handle(posted());
    const other = await handler.handle(posted({ metadata: { name: 'other', namespace: 'shop' } }));
    expect(other.body.message).toContain('gone');
    expect((await first).code).toBe(503);
    smtp.script = {};
    expect((await second).code).toBe(200);
    expect(smtp.mails.length).toBe(2);
    expect(smtp.mails.every((mail) => mail.includes(MESSAGE_ID))).toBe(true);
  });

  it('sends one mail for requests that come at once', async () => {
    const smtp = await smtpDouble();
    const handler = handlerFor(smtp.port);
    const answers = await Promise.all(Array.from({ length: 10 }, () => handler.handle(posted())));
    expect(answers.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(smtp.mails.length).toBe(1);
  });

  it('refuses an Email that no mail can be made of, and says in its status why', async () => {
    const smtp = await smtpDouble();
    api.email = sampleEmail({ toAddress: 'nobody', subject: 'a\nBcc: other@shop.example' });
    const answer = await handlerFor(smtp.port).handle(posted());
    expect(answer.code).toBe(400);
    expect(answer.body.message).toMatch(/spec\.toAddress: Invalid value.*spec\.subject: Invalid value/);
    expect(api.status).toMatchObject({ lastGeneration: 3, errorMessage: answer.body.message });
    expect(smtp.commands).toEqual([]);
  });

  it('refuses a body that names no Email', async () => {
    const handler = handlerFor(1);
    const bodies = ['', 'no', '[]', 'null', '{}', '{"metadata":{}}', '{"metadata":{"name":"../x"}}', '{"metadata":{"name":7}}'];
    const others = [
      { kind: 'User', metadata: { name: 'a' } },
      { apiVersion: 'v1', metadata: { name: 'a' } },
      { apiVersion: {}, metadata: { name: 'a' } },
      { metadata: { name: 'a', namespace: 'b/c' } },
    ];
    for (const body of [...bodies, ...others.map((object) => JSON.stringify(object))])
      expect((await handler.handle(Buffer.from(body))).code).toBe(400);
    expect((await handler.handle(Buffer.from([0x7b, 0xff, 0x7d]))).code).toBe(400);
    expect(api.requests).toEqual([]);
  });

  it('takes the default namespace where none is named', async () => {
    await handlerFor(1).handle(posted({ metadata: { name: 'jane-welcome' } }));
    expect(api.requests).toEqual(['GET /apis/product.webshop.harikube.info/v1/namespaces/default/emails/jane-welcome']);
  });

  it('asks to come again when the Email cannot be read', async () => {
    const smtp = await smtpDouble();
    for (const trouble of [500, 403, 'cut'] as const) {
      api.readTroubles.push(trouble);
      const { code, retryAfterSeconds } = await handlerFor(smtp.port).handle(posted());
      expect([code, retryAfterSeconds]).toEqual([503, 2]);
    }
    expect([smtp.commands, api.status]).toEqual([[], {}]);
  });

  it('asks to come again when a setting is wrong', async () => {
    const metrics = new FunctionMetrics(registry);
    const settings = async (): Promise<ReturnType<typeof smtpSettings>> => smtpSettings({ 'smtp-port': 'x' });
    const mailer = new Mailer({ settings, limits: { connectMs: 1, greetingMs: 1, silenceMs: 1 }, metrics });
    const logger = createLogger({ format: 'json', debug: false, destination: { write: () => undefined } });
    const limits = { sendMs: 8000, answerMs: 9500 };
    const handler = new EmailHandler({ client: api.client, mailer, clock: systemClock, metrics, logger, limits });
    expectFailure(await handler.handle(posted()), 503, /smtp-port=x is not a port/);
  });
});

describe('EmailHandler beside another one', () => {
  const saying = (sendingTimestamp: string): void => {
    api.email = { ...sampleEmail(), status: { lastGeneration: 3, sendingTimestamp } };
  };

  it('sends one mail when both are asked at once', async () => {
    const smtp = await smtpDouble();
    const answers = await Promise.all([handlerFor(smtp.port).handle(posted()), handlerFor(smtp.port).handle(posted())]);
    expect(answers.map(({ code }) => code)).toContain(200);
    for (const { code, retryAfterSeconds } of answers)
      if (code !== 200) expect([code, Number(retryAfterSeconds) <= 10]).toEqual([503, true]);
    expect((await handlerFor(smtp.port).handle(posted())).body.message).toBe('already sent');
    expect(smtp.mails.length).toBe(1);
    expect(api.status).toEqual({ lastGeneration: 3, sentTimestamp: expect.any(String) });
  });

  it('leaves the Email alone that the other one is sending, and takes it over when the time of that is over', async () => {
    const smtp = await smtpDouble();
    saying(new Date().toISOString());
    const { code, retryAfterSeconds, body } = await handlerFor(smtp.port).handle(posted());
    expect([code, body.message]).toEqual([503, expect.stringContaining('is being sent')]);
    expect([9, 10]).toContain(retryAfterSeconds);
    expect(smtp.commands).toEqual([]);
    expect((await handlerFor(smtp.port, { clock: later }).handle(posted())).code).toBe(200);
    expect(smtp.mails.length).toBe(1);
  });

  it('leaves the Email alone for as long as the other one goes on saying that it sends, however long that is', async () => {
    const { promise: isEnough, resolve: endSending } = Promise.withResolvers<void>();
    const onData: SMTPServerOptions['onData'] = (stream, _session, callback) => {
      stream.resume();
      stream.on('end', () => void isEnough.then(() => callback()));
    };
    const { port } = await smtpServer({ authOptional: true, onData });
    let aheadMs = 0;
    const clock: Clock = {
      ...systemClock,
      now: () => systemClock.now() + aheadMs,
      sleep: (ms, signal) => {
        aheadMs += ms;
        return systemClock.sleep(1, signal);
      },
    };
    const { promise: isLong, resolve: tooLong } = Promise.withResolvers<void>();
    api.onClaim = () => {
      if (aheadMs > 600_000) tooLong();
    };
    const setup = { clock, silenceMs: 30_000, sendMs: 3_600_000 };
    const sending = handlerFor(port, setup).handle(posted());
    await isLong;
    expect((await handlerFor(port, setup).handle(posted())).body.message).toContain('is being sent');
    endSending();
    expect((await sending).code).toBe(200);
    expect(api.status).toEqual({ lastGeneration: 3, sentTimestamp: expect.any(String) });
  });

  it('does not wait for a clock that is wrong', async () => {
    const smtp = await smtpDouble();
    saying(new Date(Date.now() + 3_600_000).toISOString());
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(200);
  });

  it('sends what the Email says when it changes at the last moment, and nothing when it changes all the time', async () => {
    const smtp = await smtpDouble();
    api.onClaim = () => {
      api.onClaim = () => undefined;
      api.email = sampleEmail({ subject: 'Corrected' }, { generation: 4, resourceVersion: '20' });
    };
    expect((await handlerFor(smtp.port).handle(posted())).body.subject).toBe('Corrected');
    let version = 30;
    api.email = sampleEmail();
    api.onClaim = () => (api.email = sampleEmail({}, { resourceVersion: String(version++) }));
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(503);
    expect(smtp.mails.length).toBe(1);
  });

  it('sends nothing when it cannot say that it does', async () => {
    const smtp = await smtpDouble();
    for (const [trouble, code] of [
      [500, 503],
      ['cut', 503],
      [403, 503],
      [404, 200],
    ] as const) {
      api.claimTroubles.push(trouble);
      expect((await handlerFor(smtp.port).handle(posted())).code).toBe(code);
    }
    expect([smtp.commands, await count('gone')]).toEqual([[], 1]);
  });
});

describe('EmailHandler and a status that', () => {
  it('cannot be written at first is written within the request', async () => {
    const smtp = await smtpDouble();
    for (const trouble of [500, 'cut', 'lost'] as const) {
      api.email = sampleEmail({}, { uid: `uid-${trouble}` });
      api.patchTroubles.push(trouble);
      expect((await handlerFor(smtp.port).handle(posted(api.email))).code).toBe(200);
      expect(api.status.sentTimestamp).toBeDefined();
    }
    expect(smtp.mails.length).toBe(3);
  });

  it('cannot be written makes it answer 503, and the repeat writes it and sends nothing', async () => {
    const smtp = await smtpDouble();
    const handler = handlerFor(smtp.port);
    api.patchTroubles.push(503, 503, 503, 503);
    const { code, retryAfterSeconds } = await handler.handle(posted());
    expect([code, retryAfterSeconds]).toEqual([503, 2]);
    expect(api.status).toEqual({ lastGeneration: 3, sendingTimestamp: expect.stringMatching(/^20.*Z$/) });
    expect(await count('unrecorded')).toBe(1);
    expect((await handler.handle(posted())).code).toBe(200);
    expect(api.status.sentTimestamp).toBeDefined();
    expect(smtp.mails.length).toBe(1);
  });

  it('cannot be written by a function that is killed has the repeat send the mail with the same Message-ID', async () => {
    const smtp = await smtpDouble();
    api.patchTroubles.push(503, 503, 503, 503);
    await handlerFor(smtp.port).handle(posted());
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(503);
    expect((await handlerFor(smtp.port, { clock: later }).handle(posted())).code).toBe(200);
    expect(smtp.mails.map((mail) => /^Message-ID: (.*)$/m.exec(mail)?.[1]?.trim())).toEqual([MESSAGE_ID, MESSAGE_ID]);
  });

  it('may not be written is not tried again within the request', async () => {
    const smtp = await smtpDouble();
    api.patchTroubles.push(403);
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(503);
    // That it is being sent, and that it was.
    expect(api.requests.filter((request) => request.startsWith('PATCH')).length).toBe(2);
    expect(log).toContain('the status of an Email cannot be written');
  });

  it('cannot be written after a refusal makes it answer 503, so that somebody learns why', async () => {
    const smtp = await smtpDouble({ rcpt: '550 no such user' });
    api.patchTroubles.push(403);
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(503);
    expect((await handlerFor(smtp.port, { clock: later }).handle(posted())).code).toBe(422);
  });

  it('changed meanwhile is written all the same, unless the Email is another one by then', async () => {
    const smtp = await smtpDouble();
    api.onPatch = () => {
      api.onPatch = () => undefined;
      api.email = { ...sampleEmail({}, { resourceVersion: '20', labels: { a: 'b' } }) };
    };
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(200);
    expect(api.email).toMatchObject({ metadata: { labels: { a: 'b' } }, status: { lastGeneration: 3 } });
    api.email = sampleEmail();
    api.onPatch = () => {
      api.email = sampleEmail({}, { uid: 'uid-2', resourceVersion: '30' });
    };
    expect((await handlerFor(smtp.port).handle(posted())).code).toBe(200);
    expect(api.status).toEqual({});
  });

  it('is not reached in time makes it answer 503', async () => {
    const smtp = await smtpDouble();
    const clock = new FakeClock();
    api.patchTroubles.push('hang');
    const arrived = new Promise<void>((resolve) => (api.onPatch = resolve));
    const answer = handlerFor(smtp.port, { clock }).handle(posted());
    await arrived;
    await clock.advance(9500);
    expect((await answer).code).toBe(503);
  });
});
