import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { MailStore } from './mail-store.js';

const TIME = new Date('2026-01-02T03:04:05.678Z');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-mails-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

function mail(headers: Readonly<Record<string, string>> = {}, body = 'Hello'): Buffer {
  const all = { From: 'Shop <shop@example.com>', To: 'jane@example.com', Subject: 'Hi', 'Message-ID': '<a.1@example.com>', ...headers };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${head.join('')}\r\n${body}\r\n`);
}

describe('MailStore', () => {
  it('keeps each mail whole in a file that is named by time, number and Message-ID', async () => {
    const store = await MailStore.open(join(folder, 'new', 'mails'));
    const content = Buffer.concat([mail(), Buffer.from([0, 255, 13, 10])]);
    const { id } = await store.add(content, TIME);
    expect(readdirSync(join(folder, 'new', 'mails'))).toEqual(['2026-01-02T03-04-05.678Z-1-a.1@example.com.eml']);
    expect(readFileSync(join(folder, 'new', 'mails', `${id}.eml`)).equals(content)).toBe(true);
    expect((await store.load(id))?.equals(content)).toBe(true);
  });

  it('names no file as a mail would like it', async () => {
    const store = await MailStore.open(folder);
    for (const messageId of ['<../../../etc/passwd>', '<a/b\\c:d "e" ö>', `<${'x'.repeat(2000)}@example.com>`, ''])
      await store.add(mail({ 'Message-ID': messageId }), TIME);
    const names = readdirSync(folder);
    expect(names.length).toBe(4);
    for (const name of names) expect(name).toMatch(/^[\w.@-]{1,200}\.eml$/);
    expect((await MailStore.open(folder)).size).toBe(4);
  });

  it('lists the newest first, and marks the repeats of a Message-ID', async () => {
    const store = await MailStore.open(folder);
    for (const [index, id] of ['<a@x.example>', '<b@x.example>', '<a@x.example>'].entries())
      await store.add(mail({ 'Message-ID': id, Subject: `mail ${index + 1}` }), TIME);
    const expected = [
      ['mail 3', true],
      ['mail 2', false],
      ['mail 1', false],
    ];
    const shown = (mails: readonly { subject: string; isRepeat: boolean }[]): unknown[] =>
      mails.map(({ subject, isRepeat }) => [subject, isRepeat]);
    expect(shown(store.list())).toEqual(expected);
    expect(shown(store.list(1, 1))).toEqual(expected.slice(1, 2));
    expect(shown(store.list(2, 5))).toEqual(expected.slice(2));
    expect(store.list(3, 5)).toEqual([]);
    expect(shown((await MailStore.open(folder)).list())).toEqual(expected);
  });

  it('knows who, whom and what of a mail as people read it', async () => {
    const store = await MailStore.open(folder);
    const headers = { From: '=?utf-8?Q?J=C3=BCrgen?= <j@x.example>', To: 'a@x.example, B <b@x.example>', Subject: '=?utf-8?B?SMOpbGxv?=' };
    expect(await store.add(mail(headers), TIME)).toMatchObject({
      from: 'Jürgen <j@x.example>',
      to: 'a@x.example, B <b@x.example>',
      subject: 'Héllo',
      time: '2026-01-02T03:04:05.678Z',
    });
    expect(await store.add(Buffer.from('no mail at all'), TIME)).toMatchObject({ from: '', subject: '', messageId: '', isRepeat: false });
    expect(await store.add(Buffer.alloc(0), TIME)).toMatchObject({ bytes: 0, isRepeat: false });
  });

  it('goes on where another process stopped: removes what was not whole and gives no number twice', async () => {
    const first = await MailStore.open(folder);
    await first.add(mail(), TIME);
    writeFileSync(join(folder, '2026-01-02T03-04-05.678Z-2-b.tmp'), 'half');
    writeFileSync(join(folder, 'notes.txt'), 'of somebody');
    writeFileSync(join(folder, 'foreign.eml'), mail());
    const second = await MailStore.open(folder);
    expect(second.list()).toEqual(first.list());
    expect((await second.add(mail(), TIME)).id).toContain('Z-2-a.1@example.com');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(readdirSync(folder)).toContain('notes.txt');
  });

  it('forgets a mail whose file somebody has removed', async () => {
    const store = await MailStore.open(folder);
    const { id } = await store.add(mail(), TIME);
    rmSync(join(folder, `${id}.eml`));
    expect(await store.load(id)).toBeNull();
    expect([store.size, store.get(id), await store.load('../x')]).toEqual([0, undefined, null]);
  });

  it('keeps mails that come at once apart', async () => {
    const store = await MailStore.open(folder);
    const mails = await Promise.all(
      Array.from({ length: 50 }, (_, index) => store.add(mail({ 'Message-ID': `<${index}@x.example>` }), TIME)),
    );
    expect(new Set(mails.map(({ id }) => id)).size).toBe(50);
    expect(readdirSync(folder).length).toBe(50);
  });
});
