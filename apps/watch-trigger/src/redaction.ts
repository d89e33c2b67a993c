const REPLACEMENT = '[redacted]';

/** Takes the secrets of a trigger out of what others say. */
export class Redaction {
  /** Every form in which a receiver repeats a value that it was sent; the longest first, as one may hold another. */
  readonly #forms: readonly string[];

  constructor(secrets: readonly string[]) {
    const forms = secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]);
    this.#forms = [...new Set(forms)].filter((form) => form !== '').sort((one, other) => other.length - one.length);
  }

  /** How much of a text has to be known beyond a bound, so that no secret is cut there. */
  get longest(): number {
    return this.#forms[0]?.length ?? 0;
  }

  /** `isCut`: the text goes on, perhaps within a secret. */
  of(text: string, { isCut = false } = {}): string {
    let shown = text;
    for (const form of this.#forms) shown = shown.replaceAll(form, REPLACEMENT);
    return isCut ? this.#withoutBeginning(shown) : shown;
  }

  /** Without what is the beginning of a secret at the end of the text. */
  #withoutBeginning(text: string): string {
    let end = text.length;
    for (const form of this.#forms) {
      for (let length = Math.min(form.length - 1, text.length); length > 0; length--) {
        if (!text.endsWith(form.slice(0, length))) continue;
        end = Math.min(end, text.length - length);
        break;
      }
    }
    return text.slice(0, end);
  }
}
