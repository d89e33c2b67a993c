/** What tests of other packages take from the specs of this one. */
export * from './raw-connection.js';
