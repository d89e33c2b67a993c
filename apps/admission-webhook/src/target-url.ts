/** What a pattern cannot say of the URLs of a trigger. */

/** Why nothing can be sent to a URL; null: it can. Its words do not repeat credentials. */
export function urlProblem(text: string): string | null {
  if (!/^https?:\/\/[^/?#\\]/i.test(text) || !URL.canParse(text))
    return 'is no URL with a host: write http://HOST/PATH or https://HOST/PATH';
  const { username, password } = new URL(text);
  if (username !== '' || password !== '')
    return 'has credentials in it, for everybody to read: put them into a Secret and name it in spec.auth';
  return null;
}

/** A URL as a message can show it. */
export function withoutCredentials(text: string): string {
  // Of one that is no URL nobody knows where its host begins.
  return text.replace(/^([a-z]+:\/\/).*@/i, '$1***@');
}

/** Why a path cannot be asked for as it stands; null: it can. */
export function pathProblem(text: string): string | null {
  if (/^[/\\]{2}/.test(text)) return 'begins with two slashes, which begin a host: write one';
  const [path = ''] = text.split(/[?#]/, 1);
  if (/[/\\](?:\.|%2e){1,2}(?:[/\\]|$)/i.test(path))
    return 'has a segment . or .. in its path, which leads elsewhere: write the path that is meant';
  return null;
}

/** Whether scheme, host and port of a template of a URL are there before its first action. */
export function hasLiteralOrigin(template: string): boolean {
  const [literal = ''] = template.split('{{', 1);
  const origin = /^\s*(https?:\/\/[^/?#\\]+)([/?#])?/i.exec(literal);
  // What follows a host at once may still be a part of it.
  return origin !== null && (origin[2] !== undefined || literal === template) && URL.canParse(origin[1] ?? '');
}
