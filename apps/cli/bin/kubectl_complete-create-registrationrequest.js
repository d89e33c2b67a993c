#!/usr/bin/env node
// What kubectl asks when a shell completes `kubectl create registrationrequest`.
process.argv.splice(2, 0, 'complete-create-registrationrequest');
import('./harikube.js');
