import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { type Email, EMAILS } from '@harikube/crds';
import type { KubeClient } from '@harikube/kube';
import { until } from './until.js';

interface CaughtMail {
  readonly messageId: string;
  readonly to: string;
  readonly source: string;
}

/** What the mail catcher of a `harikube up` keeps, the oldest first. */
async function caughtMails(data: string): Promise<CaughtMail[]> {
  const folder = join(data, 'mails');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.eml')).toSorted();
  return await Promise.all(
    files.map(async (file) => {
      const source = await readFile(join(folder, file), 'utf8');
      const header = (name: string): string => new RegExp(`^${name}: *(.*?)\\r?$`, 'im').exec(source)?.[1] ?? '';
      return { messageId: header('Message-ID'), to: header('To'), source };
    }),
  );
}

/**
 * Each of these addresses has an Email, which says that it was sent, and a mail; a second mail of an address, which a killed program may leave, has the
 * Message-ID of the first. Resolves to how many mails were repeats.
 */
export async function expectMailed(client: KubeClient, data: string, addresses: readonly string[], seconds = 180): Promise<number> {
  const wanted = new Set(addresses);
  const isSent = ({ spec, status }: Email): boolean => wanted.has(spec.toAddress) && status?.sentTimestamp !== undefined;
  const emails = await until(client, EMAILS, (all) => [...all.values()].filter(isSent).length === addresses.length, { seconds });
  for (const { status } of emails.values()) expect(status?.errorMessage ?? '').toBe('');
  const mails = (await caughtMails(data)).filter(({ to }) => wanted.has(to));
  const idsOf = new Map<string, Set<string>>();
  for (const { to, messageId } of mails) idsOf.set(to, (idsOf.get(to) ?? new Set()).add(messageId));
  expect([...idsOf.keys()].toSorted()).toEqual([...wanted].toSorted());
  expect([...idsOf].filter(([, ids]) => ids.size !== 1)).toEqual([]);
  expect(new Set(mails.map(({ messageId }) => messageId)).size).toBe(addresses.length);
  return mails.length - addresses.length;
}
