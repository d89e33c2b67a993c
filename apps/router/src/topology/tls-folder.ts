import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TopologyDocument } from '@harikube/datasources';

/** A certificate, a chain or a key; a document of YAML has no line that begins so. */
const PEM = /^-----BEGIN [A-Z0-9 ]+-----/m;
/** Whatever is in a file that is called so, it is no document. */
const TLS_NAME = /\.(?:crt|cer|pem|key)$/i;
/** As Kubernetes names keys; nothing of it leads out of a folder. */
const FILE_NAME = /^(?!\.\.)[-._a-zA-Z0-9]+$/;

/** Of the keys of a Secret, those that are certificates and keys, and those that are documents of the topology. */
export function withoutTlsMaterial(documents: readonly TopologyDocument[]): {
  readonly documents: readonly TopologyDocument[];
  readonly material: readonly TopologyDocument[];
} {
  const isMaterial = ({ name, text }: TopologyDocument): boolean => TLS_NAME.test(name) || PEM.test(text);
  return { documents: documents.filter((document) => !isMaterial(document)), material: documents.filter(isMaterial) };
}

/** The files of certificates and keys that come with a topology, for its rules to name; for this user's eyes only. */
export class TlsFolder {
  /** What this process has written, by name. */
  readonly #written = new Map<string, string>();

  constructor(readonly path: string) {}

  /** Each file is replaced at once, never half written. Throws what the file system says. */
  async write(material: readonly TopologyDocument[]): Promise<void> {
    if (material.length > 0) await mkdir(this.path, { recursive: true, mode: 0o700 });
    for (const { name, text } of material) {
      if (!FILE_NAME.test(name) || name === '.') throw new Error(`"${name}" is not the name of a file`);
      if (this.#written.get(name) === text) continue;
      const target = join(this.path, name);
      const draft = `${target}.${process.pid}.tmp`;
      await writeFile(draft, text, { mode: 0o600, flush: true });
      await rename(draft, target);
      this.#written.set(name, text);
    }
  }

  /** Removes what this process has written and what is not among these any more: once no rule in force names it. */
  async keepOnly(material: readonly TopologyDocument[]): Promise<void> {
    const names = new Set(material.map(({ name }) => name));
    for (const name of [...this.#written.keys()].filter((written) => !names.has(written))) {
      await rm(join(this.path, name), { force: true });
      this.#written.delete(name);
    }
  }
}
