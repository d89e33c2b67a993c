#!/usr/bin/env node
// `kubectl create registrationrequest`: kubectl starts the program of this name that it finds on PATH.
process.argv.splice(2, 0, 'create-registrationrequest');
import('./harikube.js');
