import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { loadSmtpSettings, smtpSettings, SmtpSettingsError } from './smtp-settings.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'harikube-smtp-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('smtpSettings', () => {
  it('have the defaults of the reference, with TLS required', () => {
    expect(smtpSettings({})).toEqual({ host: 'localhost', port: 587, login: null, tls: 'starttls', authority: null });
  });

  it('take TLS from the first byte on its port, and none only when told', () => {
    expect(smtpSettings({ 'smtp-port': '465' }).tls).toBe('implicit');
    expect(smtpSettings({ 'smtp-port': '465', 'smtp-tls-mode': 'starttls' }).tls).toBe('starttls');
    expect(smtpSettings({ 'smtp-port': '2465', 'smtp-tls-mode': 'Implicit' }).tls).toBe('implicit');
    expect(smtpSettings({ 'smtp-use-tls': 'False' }).tls).toBe('none');
    expect(smtpSettings({ 'smtp-use-tls': 'false', 'smtp-tls-mode': 'starttls' }).tls).toBe('starttls');
  });

  it('take an empty value for none, and keep a password as it is', () => {
    expect(smtpSettings({ 'smtp-host': ' ', 'smtp-port': '', 'smtp-username': '', 'smtp-password': 'x' })).toEqual(smtpSettings({}));
    expect(smtpSettings({ 'smtp-username': 'shop', 'smtp-password': ' p w ' }).login).toEqual({ username: 'shop', password: ' p w ' });
  });

  it('refuse what means nothing', () => {
    for (const texts of [
      { 'smtp-port': '0' },
      { 'smtp-port': '65536' },
      { 'smtp-port': '5e2' },
      { 'smtp-use-tls': 'maybe' },
      { 'smtp-tls-mode': 'ssl' },
      { 'smtp-host': 'a b' },
    ])
      expect(() => smtpSettings(texts)).toThrow(SmtpSettingsError);
  });
});

describe('loadSmtpSettings', () => {
  it('take a file before what is given, and a changed file at the next use', async () => {
    writeFileSync(join(folder, 'smtp-host'), 'mail.example\n');
    writeFileSync(join(folder, 'smtp-password'), 'from file \r\n');
    const given = { 'smtp-host': 'given.example', 'smtp-port': '2525', 'smtp-username': 'shop', 'smtp-password': 'given' };
    expect(await loadSmtpSettings(folder, given)).toMatchObject({
      host: 'mail.example',
      port: 2525,
      login: { username: 'shop', password: 'from file ' },
    });
    writeFileSync(join(folder, 'smtp-host'), 'other.example');
    expect((await loadSmtpSettings(folder, given)).host).toBe('other.example');
  });

  it('do without a folder, and refuse a file that cannot be read', async () => {
    expect((await loadSmtpSettings(join(folder, 'absent'), {})).host).toBe('localhost');
    mkdirSync(join(folder, 'smtp-password'));
    await expect(loadSmtpSettings(folder, {})).rejects.toThrow(/smtp-password cannot be read: EISDIR/);
  });
});
