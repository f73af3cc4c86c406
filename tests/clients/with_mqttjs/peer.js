// MQTT.js as a program would use it: `Peer` is one client; its received messages are kept whole.
//
// A message is the object {topic, payload, qos, retain, dup, properties}; payload is text
// (latin1, so that every byte is a character). Where the broker is comes from the environment
// variables that run.py sets (see ../expect.py, which says the same for Python).
'use strict'

const assert = require('node:assert')
const mqtt = require('mqtt')

const environment = process.env
const PREFIX = environment.ALDIS_TEST_PREFIX || `t${process.pid}`
const DEADLINE = 1000 * Number(environment.ALDIS_TEST_DEADLINE || 30)
const CONTROL_DEADLINE = 30000
const DEAF = environment.ALDIS_TEST_DEAF === '1'
const SMALL = environment.ALDIS_TEST_SMALL === '1'
const AGAINST_MOSQUITTO = environment.ALDIS_TEST_BROKER === 'mosquitto'
const LEVELS = { 31: 3, 311: 4, 5: 5 }
// Messages of one client under way at once; less where the server's receive maximum says so.
const WINDOW = 500

// The broker (or the machine) did not do what the scenario expects.
class Failure extends Error {}

const peers = []
const retained = new Set()
let retainedIsKept = false

const topic = (name) => `${PREFIX}/${name}`
const clientId = (name) => `${PREFIX}-${name}`

function heardFilter (filter) {
  if (!DEAF) return filter
  if (filter.startsWith('$share/')) return `$share/${filter.split('/')[1]}/deaf/${PREFIX}`
  return `deaf/${PREFIX}/${filter.replace(/[#+]/g, 'x')}`
}

function shorten (value, limit = 200) {
  const text = JSON.stringify(value)
  return text && text.length > limit
    ? `${text.slice(0, limit)}… (${text.length} characters)`
    : String(text)
}

// Fails with the first difference unless the two lists are the same, in order and length.
function compare (what, received, expected) {
  for (let index = 0; index < Math.max(received.length, expected.length); index++) {
    if (index >= expected.length) {
      throw new Failure(`${what}: received ${received.length} messages, expected ` +
        `${expected.length}; the first too many is ${shorten(received[index])}`)
    }
    if (index >= received.length) {
      throw new Failure(`${what}: received ${received.length} of ${expected.length} messages; ` +
        `the first missing is ${shorten(expected[index])}`)
    }
    if (!same(received[index], expected[index])) {
      throw new Failure(`${what}: message ${index} of ${expected.length} differs: received ` +
        `${shorten(received[index])}, expected ${shorten(expected[index])}`)
    }
  }
}

function same (got, wanted) {
  try {
    assert.deepStrictEqual(got, wanted)
    return true
  } catch {
    return false
  }
}

function equal (what, got, wanted) {
  if (!same(got, wanted)) {
    throw new Failure(`${what}: got ${shorten(got)}, expected ${shorten(wanted)}`)
  }
}

// What a subscriber is expected to receive, in the shape `Peer` records.
function message (topic, payload, qos, retain = false, properties = {}, dup = false) {
  return { topic, payload, qos, retain, dup, properties }
}

function within (promise, milliseconds, what) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Failure(`waited in vain for ${what}`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// Copies to plain objects: MQTT.js makes some without prototype, which compare as different.
function plain (properties) {
  const copied = { ...properties }
  if (copied.userProperties) copied.userProperties = { ...copied.userProperties }
  if (copied.correlationData) copied.correlationData = copied.correlationData.toString('latin1')
  return copied
}

function recorded ({ topic, payload, qos, retain, dup, properties }) {
  return message(topic, payload.toString('latin1'), qos, retain, plain(properties), dup)
}

class Peer {
  // For a process whose retained messages another one deletes.
  static keepRetained () {
    retainedIsKept = true
  }

  // Connects; resolves once CONNACK has come. `options` are MQTT.js' own. `loses` names a packet ('puback')
  // that this client sends in vain: it never leaves.
  static async connect (version, name, options = {}, loses = null) {
    const peer = new Peer()
    peer.name = name
    peer.version = version
    peer.received = []
    peer.waiting = []
    peer.ended = null // why nothing more can come, once that is known
    peer.disconnectReason = null // the reason code of the server's DISCONNECT
    peer.client = mqtt.connect({
      host: environment.ALDIS_TEST_HOST || '127.0.0.1',
      port: Number(environment.ALDIS_TEST_PORT || 1883),
      protocolVersion: LEVELS[version],
      protocolId: version === '31' ? 'MQIsdp' : 'MQTT',
      clientId: clientId(name),
      reconnectPeriod: 0,
      ...options
    })
    peer.loses = loses
    peer.lost = 0 // how many
    peer.released = [] // packet identifiers of the PUBRELs received, in order
    peer.unreleased = [] // messages of QoS 2 received, whether MQTT.js shows them already or not
    peer.#lose()
    peer.client.on('packetreceive', (packet) => {
      if (packet.cmd === 'pubrel') peer.released.push(packet.messageId)
      if (packet.cmd === 'publish' && packet.qos === 2) peer.unreleased.push(recorded(packet))
    })
    if (options.will && options.will.retain) retained.add(options.will.topic)
    peers.push(peer)
    peer.client.on('message', (where, payload, packet) => peer.#add(where, payload, packet))
    peer.client.on('disconnect', (packet) => { peer.disconnectReason = packet.reasonCode })
    peer.client.on('error', (error) => peer.#end(`error: ${error.message || error.code}`))
    peer.closed = new Promise((resolve) => peer.client.on('close', resolve))
    peer.closed.then(() => peer.#end('the connection was closed'))
    await peer.#connected()
    return peer
  }

  async #connected () {
    const connected = new Promise((resolve, reject) => {
      this.client.on('connect', resolve)
      const refuse = (error) => {
        const why = error ? error.message || error.code : 'closed'
        reject(new Failure(`MQTT.js ${this.name} could not connect: ${why}`))
      }
      this.client.on('error', refuse)
      this.client.on('close', refuse)
    })
    const connack = await within(connected, CONTROL_DEADLINE, `CONNACK to connect ${this.name}`)
    this.sessionPresent = connack.sessionPresent
    this.window = Math.min(WINDOW, connack.properties?.receiveMaximum ?? WINDOW)
  }

  // The same client connects anew, with what it remembers of its session.
  async reconnect () {
    this.ended = null
    this.closed = new Promise((resolve) => this.client.once('close', resolve))
    const connected = this.#connected()
    const { incomingStore, outgoingStore } = this.client
    this.client.reconnect({ incomingStore, outgoingStore })
    await connected
  }

  // MQTT.js has no way to leave a message unacknowledged and go on; this takes the packets off its hands.
  #lose () {
    const write = this.client._writePacket.bind(this.client)
    this.client._writePacket = (packet, done) => {
      if (packet.cmd !== this.loses) return write(packet, done)
      this.lost++
      this.#wake()
      if (done) done()
    }
  }

  // Waits until `count` packets are lost.
  async lostAll (count) {
    await this.waitUntil(() => this.lost >= count, `${count} times ${this.loses}`)
    equal(`${this.loses} lost`, this.lost, count)
  }

  #add (where, payload, packet) {
    this.received.push(recorded(packet))
    this.#wake()
  }

  #end (reason) {
    this.ended ??= reason
    this.#wake()
  }

  #wake () {
    this.waiting = this.waiting.filter((waiter) => !waiter())
  }

  // Waits until `condition(received)` holds; fails at the deadline, naming `what`.
  waitUntil (condition, what, milliseconds = DEADLINE) {
    const fail = (reject, why) => {
      const last = this.received.length ? shorten(this.received.at(-1)) : 'none'
      reject(new Failure(`MQTT.js ${this.name} received ${this.received.length} messages, ` +
        `waiting for ${what}: ${why}; the last one: ${last}`))
    }
    return new Promise((resolve, reject) => {
      const late = () => fail(reject, `the deadline of ${milliseconds / 1000} s passed`)
      const timer = setTimeout(late, milliseconds)
      const waiter = () => {
        const holds = condition(this.received)
        if (!holds && this.ended === null) return false
        clearTimeout(timer)
        if (holds) resolve()
        else fail(reject, this.ended)
        return true
      }
      if (!waiter()) this.waiting.push(waiter)
    })
  }

  waitCount (count) {
    return this.waitUntil((received) => received.length >= count, `${count} messages`)
  }

  // Subscribes to one filter, waits for SUBACK, and checks that the QoS was granted.
  async subscribe (filter, qos = 0, options = {}) {
    const asked = this.client.subscribeAsync(heardFilter(filter), { qos, ...options })
    const granted = await within(asked, CONTROL_DEADLINE, `SUBACK for ${filter}`)
    equal(`granted for ${filter}`, granted.map((one) => one.qos), [qos])
    return this
  }

  async unsubscribe (filter) {
    const asked = this.client.unsubscribeAsync(heardFilter(filter))
    await within(asked, CONTROL_DEADLINE, `UNSUBACK for ${filter}`)
  }

  // Publishes one message and waits until the broker has it (QoS 0: until it is written).
  async send (where, payload, qos = 0, options = {}) {
    if (options.retain && payload.length) retained.add(where)
    const bytes = Buffer.from(payload, 'latin1')
    const sent = this.client.publishAsync(where, bytes, { qos, ...options })
    await within(sent, CONTROL_DEADLINE, `the acknowledgement of a message on ${where}`)
  }

  // Publishes `[topic, payload, qos, options]` in order, many under way at once.
  async sendAll (messages) {
    const underWay = []
    for (const one of messages) {
      if (underWay.length >= this.window) await underWay.shift()
      const sent = this.send(...one)
      sent.catch(() => {}) // looked at below, in order
      underWay.push(sent)
    }
    await Promise.all(underWay)
  }

  // Waits until what was received is acknowledged: MQTT.js does that after its event.
  settle () {
    return this.send(topic('settled'), '', 1)
  }

  async disconnect (options = {}) {
    await this.settle()
    await within(this.client.endAsync(false, options), CONTROL_DEADLINE, 'the disconnection')
  }

  // Ends the connection without DISCONNECT; resolves when the broker has closed it too.
  async kill () {
    if (this.loses === null) await this.settle()
    this.client.stream.end()
    await within(this.closed, CONTROL_DEADLINE, 'the connection to be closed')
  }

  // Waits for `expected`, compares the complete list, and begins a new one.
  async expectExactly (what, expected) {
    await this.waitCount(expected.length)
    compare(`${this.name}, ${what}`, this.received, expected)
    this.received = []
  }

  // The same where order is promised only within what `key` gives: a QoS, a topic.
  async expectBy (key, what, expected) {
    await this.waitCount(expected.length)
    compare(`${this.name}, ${what}`, sorted(this.received, key), sorted(expected, key))
    this.received = []
  }
}

// A stable sort by `key(item)`.
function sorted (list, key) {
  return [...list].sort((a, b) => (key(a) < key(b) ? -1 : Number(key(a) > key(b))))
}

// Deletes what was retained, with one more client, and leaves.
async function cleanUp (version) {
  if (retained.size && !retainedIsKept) {
    const cleaner = await Peer.connect(version, 'cleaner')
    await cleaner.sendAll([...retained].map((where) => [where, '', 1, { retain: true }]))
  }
  for (const peer of peers) peer.client.end(true)
}

// Runs `scenario(version)`, cleans up, and ends the process with the code that main.js names. What
// goes wrong in cleaning up counts only if nothing went wrong before.
async function runToEnd (version, scenario) {
  let problem = null
  for (const step of [scenario, cleanUp]) {
    try {
      await step(version)
    } catch (error) {
      problem ??= error
    }
  }
  if (problem) console.error(problem instanceof Failure ? problem.message : problem.stack)
  process.exit(problem === null ? 0 : problem instanceof Failure ? 1 : 3)
}

module.exports = {
  AGAINST_MOSQUITTO,
  CONTROL_DEADLINE,
  DEADLINE,
  DEAF,
  Failure,
  SMALL,
  PREFIX,
  Peer,
  compare,
  equal,
  message,
  runToEnd,
  sorted,
  topic,
  within
}
