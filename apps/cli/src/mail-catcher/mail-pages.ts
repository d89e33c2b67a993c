/** The pages of the catcher as text. Whatever comes from a mail is escaped here, and nowhere else. */
import type { CaughtMail } from './mail-store.js';

/** A mail as its page shows it. */
export interface ShownMail extends CaughtMail {
  /** As the mail itself says; empty: it does not. */
  readonly date: string;
  readonly cc: string;
  readonly text: string | null;
  readonly hasHtml: boolean;
  readonly attachments: readonly { readonly name: string; readonly type: string; readonly bytes: number }[];
}

export const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #5b6570; --line: #d8dee4; --paper: #ffffff; --back: #f5f7f9; --accent: #0b5fbf; --mark: #8a4b00; --mark-back: #fff1db; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --faint: #9aa6b2; --line: #2d353e; --paper: #161b21; --back: #0e1216; --accent: #7ab7ff; --mark: #ffc880; --mark-back: #3a2a12; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header, main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
header nav { flex-basis: 100%; margin: 0; font-size: .875rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; padding-top: 1.25rem; padding-bottom: .75rem; }
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: 0; }
.faint, footer { color: var(--faint); font-size: .875rem; }
footer { padding-top: 1rem; padding-bottom: 2rem; }
a { color: var(--accent); }
.box { list-style: none; margin: 0; padding: 0; background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
.box li + li { border-top: 1px solid var(--line); }
.box a { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 1rem; padding: .625rem 1rem; color: inherit; text-decoration: none; }
.box a:hover, .box a:focus-visible { background: var(--back); }
a:focus-visible, iframe:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
.subject { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.people { grid-column: 1; color: var(--faint); font-size: .875rem; overflow-wrap: anywhere; }
time { font-variant-numeric: tabular-nums; white-space: nowrap; color: var(--faint); font-size: .875rem; }
.repeat { justify-self: end; align-self: center; color: var(--mark); background: var(--mark-back); border-radius: 1rem; padding: 0 .5rem; font-size: .75rem; font-weight: 600; white-space: nowrap; }
.empty { background: var(--paper); border: 1px dashed var(--line); border-radius: .5rem; padding: 2.5rem 1rem; text-align: center; color: var(--faint); }
nav { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin: 1rem 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .125rem 1rem; margin: 0; background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
dd time { color: inherit; font-size: inherit; }
pre { margin: 0; background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font: .9375rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
iframe { display: block; width: 100%; height: 20rem; max-height: 80vh; resize: vertical; background: #ffffff; border: 1px solid var(--line); border-radius: .5rem; color-scheme: light; }
ul.parts { margin: 0; padding-left: 1.25rem; }
@media (max-width: 32rem) { .box a, dl { grid-template-columns: minmax(0, 1fr); } .repeat { justify-self: start; } dd + dt { margin-top: .375rem; } }
`;

export interface BoxPage {
  readonly mails: readonly CaughtMail[];
  /** Of all pages. */
  readonly total: number;
  /** From 1. */
  readonly page: number;
  readonly pages: number;
}

export function boxPage({ mails, total, page, pages }: BoxPage): string {
  const list =
    total === 0
      ? '<p class="empty">No mail has come yet. Each one that is sent to this catcher shows up here; load the page again.</p>'
      : `<ol class="box">${mails.map(row).join('')}</ol>`;
  const links = [
    ...(page > 1 ? [`<a href="/?page=${page - 1}" rel="prev">Newer</a>`] : []),
    ...(pages > 1 ? [`<span class="faint">Page ${page} of ${pages}</span>`] : []),
    ...(page < pages ? [`<a href="/?page=${page + 1}" rel="next">Older</a>`] : []),
  ];
  const nav = links.length === 0 ? '' : `<nav aria-label="Pages">${links.join('')}</nav>`;
  return document(
    'Caught mails',
    `<header><h1>Caught mails</h1><p class="faint">${total === 1 ? '1 mail' : `${total} mails`}, the newest first</p></header>
<main>${list}${nav}</main>
<footer><p>These mails were caught on this machine and went to nobody. <a href="/mails.json">As JSON</a></p></footer>`,
  );
}

export function mailPage(mail: ShownMail): string {
  const path = `/mails/${encodeURIComponent(mail.id)}`;
  const fields = [
    ['From', mail.from],
    ['To', mail.to],
    ['Cc', mail.cc],
    ['Message-ID', mail.messageId],
  ].filter(([, value]) => value !== '');
  const list = fields.map(([name = '', value = '']) => `<dt>${name}</dt><dd>${escaped(value)}</dd>`).join('');
  const date = mail.date === '' ? '' : `<dt>Sent</dt><dd>${isTime(mail.date) ? timeTag(mail.date) : escaped(mail.date)}</dd>`;
  const html = mail.hasHtml
    ? `<h2>HTML</h2><iframe src="${path}/html" sandbox="" referrerpolicy="no-referrer" title="The mail as HTML, without scripts and without anything from elsewhere"></iframe>`
    : '';
  const text = mail.text === null ? '' : `<h2>Text</h2><pre>${escaped(mail.text)}</pre>`;
  const parts = mail.attachments.map(
    ({ name, type, bytes }) => `<li>${escaped(name)} <span class="faint">${escaped(type)}, ${sizeText(bytes)}</span></li>`,
  );
  return document(
    subjectOf(mail),
    `<header><nav aria-label="Back"><a href="/">All mails</a></nav><h1>${escaped(subjectOf(mail))}</h1>${repeatMark(mail)}</header>
<main><dl>${list}${date}<dt>Caught</dt><dd>${timeTag(mail.time)}, ${sizeText(mail.bytes)}</dd></dl>
${html}${text}${html === '' && text === '' ? '<h2>Text</h2><p class="faint">The mail has no text that can be shown.</p>' : ''}
${parts.length === 0 ? '' : `<h2>Attachments</h2><ul class="parts">${parts.join('')}</ul>`}
<nav aria-label="This mail"><a href="${path}.eml">As it came (.eml)</a></nav></main>`,
  );
}

export function messagePage(title: string, text: string): string {
  return document(
    title,
    `<header><h1>${escaped(title)}</h1></header><main><p>${escaped(text)}</p><nav><a href="/">All mails</a></nav></main>`,
  );
}

function row(mail: CaughtMail): string {
  const people = `${mail.from === '' ? 'nobody named' : mail.from} → ${mail.to === '' ? 'nobody named' : mail.to}`;
  return `<li><a href="/mails/${encodeURIComponent(mail.id)}"><span class="subject">${escaped(subjectOf(mail))}</span>${timeTag(mail.time)}<span class="people">${escaped(people)}</span>${repeatMark(mail)}</a></li>`;
}

function repeatMark({ isRepeat }: CaughtMail): string {
  return isRepeat ? '<span class="repeat" title="A mail with this Message-ID had come before">repeated</span>' : '';
}

function subjectOf({ subject }: CaughtMail): string {
  return subject.trim() === '' ? '(no subject)' : subject;
}

function timeTag(time: string): string {
  return `<time datetime="${escaped(time)}">${escaped(time.slice(0, 19).replace('T', ' '))} UTC</time>`;
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text);
}

function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

function document(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body>
${body}
</body>
</html>
`;
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ESCAPES[sign] ?? sign);
}
