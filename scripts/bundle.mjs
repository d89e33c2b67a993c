// Puts the compiled command line and everything that it loads into a few files, which Node reads in half the time of 1 500 modules. The launcher takes
// them while nothing was compiled or installed since; what is compiled stays complete without them. Argument: the folder of apps, libs and node_modules; without it, this
// repository. An image has its own, where what it does not hold stays out of the bundle, too.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { build } from 'esbuild';

const root = path.resolve(process.argv[2] ?? path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const folder = path.join(root, 'apps', 'cli', 'bundle');

/** What Node starts: the command line, and the thread of a SQLite file. By the file's name, as `new Worker` names it. */
const entries = { main: path.join(root, 'apps', 'cli', 'dist', 'main.js') };
const storeThread = path.join(root, 'libs', 'datasources', 'dist', 'dialects', 'sqlite', 'store-thread.js');
if (fs.existsSync(storeThread)) entries['store-thread'] = storeThread;

/** Packages with a binary of their own, which stands beside them. */
const NATIVE = ['better-sqlite3', '@node-rs/argon2'];

/** So long the files of earlier builds stay for programs that still run on them. */
const KEPT_MILLISECONDS = 24 * 60 * 60 * 1000;

/** Modules of ours find files by their own place: it is written into them, as seen from the bundle. */
const places = {
  name: 'places',
  setup({ onLoad }) {
    const workers = new Set(Object.values(entries));
    onLoad({ filter: /[/\\](?:apps|libs)[/\\][^/\\]+[/\\]dist[/\\].*\.js$/ }, async ({ path: file }) => {
      const source = await fs.promises.readFile(file, 'utf8');
      if (!source.includes('import.meta.url')) return undefined;
      const from = path.relative(folder, file).split(path.sep).join('/');
      const contents = source.replace(/new URL\('(\.\/[^']+\.js)', import\.meta\.url\)|import\.meta\.url/g, (found, other) =>
        other !== undefined && workers.has(path.join(path.dirname(file), other)) ? found : `new URL('${from}', import.meta.url).href`,
      );
      return { contents, loader: 'js' };
    });
  },
};

const isOurs = (file) => !path.relative(root, file).split(path.sep).includes('node_modules');

/**
 * What stays outside. A package that is not installed is one that its importer can do without: Nest and TypeORM ask for drivers that nobody here uses. And what
 * we load late is loaded by Node, which knows the names that a CommonJS module exports.
 */
const outside = {
  name: 'outside',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^[^./]/ }, async ({ path: name, pluginData, ...from }) => {
      if (pluginData === outside) return undefined;
      const found = await resolve(name, { ...from, pluginData: outside });
      const isLate = from.kind === 'dynamic-import' && isOurs(from.importer) && !found.external && !isOurs(found.path);
      return isLate || found.errors.length > 0 ? { path: name, external: true } : found;
    });
  },
};

/**
 * An `import` of Node's http reads everything that it exports, and one of those, WebSocket, loads all that fetch is made of: 70 ms of processor time for each
 * program. Asked for in this way it does not.
 */
const quickHttp = {
  name: 'quick-http',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:node:)?http$/ }, ({ kind }) =>
      kind === 'import-statement' ? { path: 'node:http', namespace: 'built-in', sideEffects: false } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'built-in' }, ({ path: name }) => ({
      contents: `module.exports = process.getBuiltinModule('${name}');`,
      loader: 'js',
    }));
  },
};

// esbuild is a Go program that keeps most of what it allocates: collecting garbage more seldom saves a fifth of a bundle's processor time.
process.env.GOGC ??= '400';
const { outputFiles } = await build({
  entryPoints: entries,
  outdir: folder,
  bundle: true,
  splitting: true,
  write: false,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: NATIVE,
  plugins: [places, quickHttp, outside],
  // Kinds are called as their classes are, and two modules may have classes of one name.
  keepNames: true,
  logLevel: 'error',
  // What was a CommonJS module still asks for Node's own ones by this.
  banner: {
    js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
  },
});

/**
 * What esbuild gives functions and classes their names by. Most have theirs already. And a function that an expression makes gets none: some of those are made with
 * each request, where looking for the name took a twentieth of a router's time.
 */
const NAMER = 'var __name = (target, value) => __defProp(target, "name", { value, configurable: true });';
const QUICK_NAMER =
  'var __name = (target, value) => target.name === value ? target : __defProp(target, "name", { value, configurable: true });';
const NAMED_EXPRESSION = '/* @__PURE__ */ __name(';
const EXPRESSION = '/* @__PURE__ */ __expression(';
const EXPRESSION_GIVER = 'var __expression = (one) => one;\n';
if (!outputFiles.some(({ text }) => text.includes(NAMER)) || !outputFiles.some(({ text }) => text.includes(NAMED_EXPRESSION)))
  throw new Error('esbuild gives names in another way than it did: see NAMER');

function quicklyNamed(text) {
  const quick = text.replace(NAMER, QUICK_NAMER).replaceAll(NAMED_EXPRESSION, EXPRESSION);
  return quick.includes(EXPRESSION) ? EXPRESSION_GIVER + quick : quick;
}

/**
 * What was a CommonJS module is a function here, which V8 would read through when it is called, in every program. With a parenthesis before it, it is compiled with its file,
 * and so the compile cache holds it: a tenth of a router's start.
 */
const COMMONJS = /^(var \S+ = __commonJS\(\{\n {2})("(?:[^"\\]|\\.)*")(\(.*?\)) \{$([^]*?)^ {2}\}\n\}\);$/gm;

function eagerlyCompiled(text) {
  let left = text.split(' = __commonJS({\n').length - 1;
  const eager = text.replace(COMMONJS, (_, before, name, parameters, body) => {
    left--;
    const module = `(function ${parameters} {${body}  })`;
    // A module's own text might look like its end: then this is no JavaScript.
    new vm.Script(module, { filename: name });
    return `${before}${name}: ${module}\n});`;
  });
  if (left !== 0) throw new Error('esbuild wraps CommonJS modules in another way than it did: see COMMONJS');
  return eager;
}

const files = outputFiles.map(({ path: file, text }) => ({ file, text: eagerlyCompiled(quicklyNamed(text)) }));
fs.mkdirSync(folder, { recursive: true });
const isEntry = ({ file }) => path.basename(file, '.js') in entries;
// The entries last, each at once: whoever starts meanwhile gets the files of one build.
for (const { file, text } of files.toSorted((one, other) => Number(isEntry(one)) - Number(isEntry(other)))) {
  const draft = `${file}.${randomUUID()}`;
  fs.writeFileSync(draft, text);
  fs.renameSync(draft, file);
}
const made = new Set(files.map(({ file }) => path.basename(file)));
for (const name of fs.readdirSync(folder)) {
  const file = path.join(folder, name);
  if (!made.has(name) && Date.now() - fs.statSync(file).mtimeMs > KEPT_MILLISECONDS) fs.rmSync(file);
}
