import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '@harikube/platform';
import { createTransport } from 'nodemailer';
import { type MailCatcher, startMailCatcher } from './mail-catcher.js';

const logger = createLogger({ format: 'plain', debug: false, destination: { write: () => undefined } });
let folder: string;
let catcher: MailCatcher;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-catcher-'));
  catcher = await startMailCatcher({ folder, smtpPort: 0, httpPort: 0, logger });
});

afterEach(async () => {
  await catcher.close();
  rmSync(folder, { recursive: true });
});

interface Mail {
  readonly subject?: string;
  readonly text?: string;
  readonly html?: string;
  readonly messageId?: string;
  readonly attachments?: { filename: string; content: string }[];
}

async function send(mail: Mail = {}, auth?: { user: string; pass: string }): Promise<void> {
  const transport = createTransport({ host: '127.0.0.1', port: catcher.smtpPort, ...(auth === undefined ? {} : { auth }) });
  await transport.sendMail({ from: 'Shop <shop@example.com>', to: 'jane@example.com', subject: 'Hi', text: 'Hello', ...mail });
  transport.close();
}

interface Reply {
  readonly code: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

function get(path: string, { host, method = 'GET' }: { readonly host?: string; readonly method?: string } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = host === undefined ? {} : { host };
    const sent = request({ host: '127.0.0.1', port: catcher.httpPort, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ code: response.statusCode ?? 0, text, headers: response.headers }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

interface MailsJson {
  readonly total: number;
  readonly mails: readonly { readonly id: string; readonly subject: string; readonly isRepeat: boolean; readonly to: string }[];
}

const list = async (query = ''): Promise<MailsJson> => JSON.parse((await get(`/mails.json${query}`)).text) as MailsJson;
const newest = async (): Promise<string> => encodeURIComponent((await list()).mails[0]?.id ?? '');

describe('the mail catcher', () => {
  it('takes a mail from anybody, with a login or without, and has it on disk when it says so', async () => {
    await send();
    expect(readdirSync(folder).length).toBe(1);
    await send({}, { user: 'anybody', pass: 'anything' });
    expect(readdirSync(folder).length).toBe(2);
    expect(await list()).toMatchObject({ total: 2, mails: [{ to: 'jane@example.com' }, { subject: 'Hi' }] });
  });

  it('gives a mail back byte by byte, dots at the begin of lines too', async () => {
    await send({ text: '.\r\n..two\r\nend' });
    const reply = await get(`/mails/${await newest()}.eml`);
    const [file = ''] = readdirSync(folder);
    expect(reply.text).toBe(readFileSync(join(folder, file), 'utf8'));
    expect(reply.text).toContain('\r\n.\r\n..two\r\nend');
    expect(reply.headers).toMatchObject({ 'content-type': 'message/rfc822', 'content-disposition': `attachment; filename="${file}"` });
  });

  it('refuses for the moment what it cannot store', async () => {
    rmSync(folder, { recursive: true });
    writeFileSync(folder, '');
    await expect(send()).rejects.toMatchObject({ responseCode: 452 });
    rmSync(folder);
    await catcher.close();
    catcher = await startMailCatcher({ folder, smtpPort: 0, httpPort: 0, logger });
  });

  it('outlives clients that go in the middle of a mail', async () => {
    const socket = connect(catcher.smtpPort, '127.0.0.1');
    await once(socket, 'data');
    socket.write('EHLO x\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n');
    await once(socket, 'data');
    socket.write('Subject: half\r\n');
    socket.destroy();
    await send();
    expect(readdirSync(folder).filter((name) => name.endsWith('.eml')).length).toBe(1);
  });

  it('shows the box with the newest first, and marks repeats', async () => {
    expect((await get('/')).text).toContain('No mail has come yet');
    await send({ subject: 'first', messageId: '<same@example.com>' });
    await send({ subject: 'second' });
    await send({ subject: 'third', messageId: '<same@example.com>' });
    const { text, code } = await get('/');
    expect(code).toBe(200);
    expect([...text.matchAll(/class="subject">([^<]*)</g)].map(([, subject]) => subject)).toEqual(['third', 'second', 'first']);
    expect(text.match(/>repeated</g)?.length).toBe(1);
    expect(text).toContain('Shop &lt;shop@example.com&gt; → jane@example.com');
  });

  it('shows text and HTML of a mail, and what is attached', async () => {
    const attachments = [{ filename: 'bill <1>.txt', content: 'x'.repeat(2048) }];
    await send({ subject: '<i>Hi</i>', text: 'Hello <Jane> & co', html: '<p>Hello <b>Jane</b></p>', attachments });
    const page = `/mails/${await newest()}`;
    const { text } = await get(page);
    expect(text).toContain('<h1>&lt;i&gt;Hi&lt;/i&gt;</h1>');
    expect(text).toContain('Hello &lt;Jane&gt; &amp; co');
    expect(text).toContain('bill &lt;1&gt;.txt');
    expect(text).toContain('2.0 KiB');
    expect(text).toContain(`<iframe src="${page}/html" sandbox=""`);
    expect((await get(`${page}/html`)).text).toContain('<p>Hello <b>Jane</b></p>');
  });

  it('lets no mail run scripts or load anything', async () => {
    await send({ html: '<script>alert(1)</script><img src="https://elsewhere.example/pixel.png">' });
    const page = `/mails/${await newest()}`;
    const html = await get(`${page}/html`);
    const policy = String(html.headers['content-security-policy']);
    expect(policy).toMatch(/^sandbox; default-src 'none'; .*img-src data:;/);
    expect(policy).not.toMatch(/allow-|https?:|\*|script-src/);
    for (const path of ['/', page, '/style.css', '/mails.json', '/nothing']) {
      const own = String((await get(path)).headers['content-security-policy']);
      expect(own).toContain("default-src 'none'");
      expect(own).not.toMatch(/unsafe|https?:|\*|script-src/);
    }
    expect((await get(page)).text).not.toMatch(/<script|onload=|style="/);
  });

  it('shows what is no mail at all', async () => {
    const transport = createTransport({ host: '127.0.0.1', port: catcher.smtpPort });
    const envelope = { from: 'a@x.example', to: ['b@x.example'] };
    await transport.sendMail({ envelope, raw: Buffer.from('\u0000 just <bytes>') });
    transport.close();
    const { code, text } = await get(`/mails/${await newest()}`);
    expect(code).toBe(200);
    expect(text).toContain('(no subject)');
    expect(text).not.toContain('<bytes>');
  });

  it('has a page that says that there is none', async () => {
    await send({ text: 'Hello' });
    const paths = [
      '/x',
      '/mails/x',
      '/mails/%2e%2e%2fx',
      '/mails/%zz',
      `/mails/${await newest()}/html`,
      '/mails/../../etc/passwd',
      '//x/y',
    ];
    for (const path of paths) expect((await get(path)).code).toBe(404);
  });

  it('answers browsers that call it by the name of this machine, and nobody else', async () => {
    for (const host of ['127.0.0.1', `127.0.0.1:${catcher.httpPort}`, 'localhost:8025', 'LOCALHOST'])
      expect((await get('/', { host })).code).toBe(200);
    for (const host of [
      'elsewhere.example',
      `elsewhere.example:${catcher.httpPort}`,
      '127.0.0.1.elsewhere.example',
      'localhost@elsewhere.example',
      '0.0.0.0',
    ])
      expect((await get('/mails.json', { host })).code).toBe(403);
  });

  it('can be read only', async () => {
    const { code, headers } = await get('/', { method: 'POST' });
    expect([code, headers['allow']]).toEqual([405, 'GET, HEAD']);
    expect(await get('/', { method: 'HEAD' })).toMatchObject({ code: 200, text: '' });
  });

  it('holds ten thousand mails, in pages', async () => {
    await catcher.close();
    for (let number = 1; number <= 10_000; number++) {
      const content = `From: a@x.example\r\nTo: b@x.example\r\nSubject: mail ${number}\r\nMessage-ID: <${number}@x.example>\r\n\r\nHello\r\n`;
      writeFileSync(join(folder, `2026-01-02T03-04-05.678Z-${number}-${number}@x.example.eml`), content);
    }
    catcher = await startMailCatcher({ folder, smtpPort: 0, httpPort: 0, logger });
    await send({ subject: 'the last one' });
    const first = await get('/');
    expect(first.text.match(/class="subject"/g)?.length).toBe(50);
    expect(first.text).toContain('the last one');
    expect(first.text).toContain('10001 mails');
    expect(first.text).toContain('Page 1 of 201');
    expect(first.text).toContain('<a href="/?page=2" rel="next">Older</a>');
    const last = await get('/?page=201');
    expect([...last.text.matchAll(/class="subject">([^<]*)</g)].map(([, subject]) => subject)).toEqual(['mail 1']);
    for (const page of ['0', '-1', 'x', '999999']) expect((await get(`/?page=${page}`)).code).toBe(200);
    expect(await list('?offset=1&limit=2')).toMatchObject({ total: 10_001, mails: [{ subject: 'mail 10000' }, { subject: 'mail 9999' }] });
  });

  it('names the port that is in use', async () => {
    const again = startMailCatcher({ folder, smtpPort: catcher.smtpPort, httpPort: 0, logger });
    await expect(again).rejects.toThrow(`cannot catch mails on 127.0.0.1:${catcher.smtpPort}: the port is in use; choose another address`);
    const box = startMailCatcher({ folder, smtpPort: 0, httpPort: catcher.httpPort, logger });
    await expect(box).rejects.toThrow(`cannot show mails on 127.0.0.1:${catcher.httpPort}: the port is in use; choose another address`);
  });
});
