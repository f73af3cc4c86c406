#!/usr/bin/env node
// Runs one scenario with MQTT.js: `main.js NAME VERSION` (31, 311 or 5). Ends with code 0, with 1
// and one line if the broker failed, or with 3 if the scenario itself broke.
'use strict'

const { runToEnd } = require('./peer.js')

const scenarios = {
  ...require('./delivery.js'),
  ...require('./state.js'),
  ...require('./features.js')
}

const [name, version] = process.argv.slice(2)
if (name === '--list') {
  console.log(Object.keys(scenarios).join('\n'))
} else if (!scenarios[name]) {
  console.error(`no scenario is called ${name}`)
  process.exit(3)
} else {
  runToEnd(version, scenarios[name])
}
