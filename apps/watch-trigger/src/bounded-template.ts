import { Template } from '@harikube/go-template';
import type { KubeObject } from '@harikube/kube';
import { UnsendableError } from './unsendable-error.js';

export interface TemplateOptions {
  /** The field of the trigger, by which Go's messages call the template. */
  readonly field: string;
  readonly maxBytes: number;
}

const MAX_MESSAGE_CHARACTERS = 2048;

/** A template of a trigger, whose text has a bound. */
export class BoundedTemplate {
  readonly #template: Template;
  readonly #options: TemplateOptions;

  /** Throws an Error in Go's words. */
  constructor(text: string, options: TemplateOptions) {
    this.#template = Template.parse(text, { name: options.field });
    this.#options = options;
  }

  /** Throws `UnsendableError` TemplateFailed: the object has not what the template needs, or makes too much of it. */
  execute(object: KubeObject): string {
    try {
      return this.#template.execute(object, { outputBytes: this.#options.maxBytes });
    } catch (error) {
      throw new UnsendableError('refused', 'TemplateFailed', messageOf(error).slice(0, MAX_MESSAGE_CHARACTERS));
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
