// jest compiles every module anew for every test file. With this V8 gets what it made of the same text earlier in the process, which takes a sixth off what a worker
// does: most test files do little but load.
import vm from 'node:vm';

const { compileFunction, SourceTextModule } = vm;

/** What V8 made, by the text of a module. */
const known = new Map();

/** An ES module. */
function sourceTextModule(code, options) {
  const cachedData = known.get(code);
  if (cachedData !== undefined) {
    try {
      return new SourceTextModule(code, { ...options, cachedData });
    } catch (error) {
      // V8's flags have changed since.
      if (error.code !== 'ERR_VM_MODULE_CACHED_DATA_REJECTED') throw error;
    }
  }
  const made = new SourceTextModule(code, options);
  known.set(code, made.createCachedData());
  return made;
}

/** A CommonJS module. */
function commonJsModule(code, parameters, options) {
  const cachedData = known.get(code);
  if (cachedData !== undefined) return compileFunction(code, parameters, { ...options, cachedData });
  const made = compileFunction(code, parameters, { ...options, produceCachedData: true });
  if (made.cachedData !== undefined) known.set(code, made.cachedData);
  return made;
}

/** From now on, in this process. */
export function compileOnce() {
  vm.compileFunction = commonJsModule;
  vm.SourceTextModule = new Proxy(SourceTextModule, { construct: (_target, [code, options]) => sourceTextModule(code, options) });
}
