import { TestEnvironment } from 'jest-environment-node';
import { isNativeError } from 'node:util/types';
import vm from 'node:vm';
import { compileOnce } from './compiled-once.mjs';

// jest makes an environment for each test file, and loads this file once in a process.
compileOnce();

// jest's global object is a Proxy, which Node asks for every global that code under test reads: an ordinary one is a tenth less processor time.
// In jest's processes nothing else makes contexts.
const { createContext } = vm;
vm.createContext = () => createContext(vm.constants.DONT_CONTEXTIFY);

// jest gives every test file a global object of its own, so an error made by Node (a file that is not there, a refused connection) is not an
// `instanceof Error` in the code under test, though it is one when that code runs. Here `instanceof Error` says what it says outside.
export default class OneErrorEnvironment extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    const OwnError = this.global.Error;
    const ordinary = Function.prototype[Symbol.hasInstance];
    Object.defineProperty(OwnError, Symbol.hasInstance, {
      value(candidate) {
        return ordinary.call(this, candidate) || (this === OwnError && isNativeError(candidate));
      },
    });
  }
}
