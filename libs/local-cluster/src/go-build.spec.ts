import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { buildPrograms } from './go-build.js';
import { PROGRAMS } from './programs.js';

/** Stands in for Go: says a version, lists two packages, and "builds" by the lines of `build`. */
const fakeGo = (version: string, build: string): string => `#!/bin/sh
case "$1" in
  env) echo ${version} ;;
  list) echo a; echo b ;;
  build) ${build} ;;
esac
`;

describe('buildPrograms', () => {
  let folder = '';
  let target = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'go-build-'));
    target = join(folder, 'bin');
    mkdirSync(target);
    mkdirSync(join(folder, 'path'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const build = async (go: string | null, notes: string[] = [], signal?: AbortSignal): Promise<void> => {
    if (go !== null) {
      writeFileSync(join(folder, 'path', 'go'), go);
      chmodSync(join(folder, 'path', 'go'), 0o755);
    }
    const progress = { note: (text: string) => notes.push(text), update: (text: string) => notes.push(text) };
    await buildPrograms(target, { env: { PATH: `${join(folder, 'path')}${go === null ? '' : ':/usr/bin:/bin'}` }, progress, signal });
  };
  /** `go build … -o OUTPUT .` */
  const succeed = 'echo k8s.io/api/core/v1 >&2; while [ "$1" != -o ]; do shift; done; echo "$2" > "$2"; exit 0';

  it('makes one program with a link for each name', async () => {
    const notes: string[] = [];
    await build(fakeGo('go1.26.8', succeed), notes);
    expect(readdirSync(target).sort()).toEqual(['kubernetes-and-etcd', ...PROGRAMS].sort());
    for (const program of PROGRAMS) expect(readlinkSync(join(target, program))).toBe('kubernetes-and-etcd');
    expect(readFileSync(join(target, 'kube-apiserver'), 'utf8')).toContain('.build-');
    expect(notes[0]).toContain('about 5 minutes');
  });

  it('accepts a newer Go', async () => {
    await expect(build(fakeGo('go1.30', succeed))).resolves.toBeUndefined();
  });

  it('says what to do when there is no Go', async () => {
    await expect(build(null)).rejects.toThrow('there is no Go on PATH to build Kubernetes with: install Go 1.26 or newer');
  });

  it('says what to do when Go is too old', async () => {
    await expect(build(fakeGo('go1.22.4', succeed))).rejects.toThrow(
      'the Go on PATH is 1.22.4, too old to build Kubernetes: install Go 1.26 or newer',
    );
  });

  it('names the folders to move when the disk is full', async () => {
    await expect(build(fakeGo('go1.26.8', 'echo "write x: no space left on device" >&2; exit 1'))).rejects.toThrow('the disk is full');
    expect(readdirSync(target)).toEqual([]);
  });

  it('names GOPROXY when the modules cannot be loaded', async () => {
    await expect(build(fakeGo('go1.26.8', 'echo "Get x: dial tcp: lookup proxy: no such host" >&2; exit 1'))).rejects.toThrow(
      'set GOPROXY',
    );
  });

  it('shows what Go says otherwise, without the names of packages', async () => {
    const refused = build(fakeGo('go1.26.8', 'echo k8s.io/api >&2; echo "./main.go:3:1: syntax error" >&2; exit 1'));
    await expect(refused).rejects.toThrow('the build of Kubernetes failed:\n  ./main.go:3:1: syntax error');
  });

  it('ends the compilers when it is given up', async () => {
    const controller = new AbortController();
    const notes: string[] = [];
    const building = build(fakeGo('go1.26.8', `echo $$ > '${join(folder, 'pid')}'; sleep 60`), notes, controller.signal);
    building.catch(() => undefined);
    for (const over = AbortSignal.timeout(20_000); !readdirSync(folder).includes('pid'); await delay(5, undefined, { signal: over }));
    controller.abort();
    await expect(building).rejects.toThrow('aborted');
    expect(readdirSync(target)).toEqual([]);
  });
});
