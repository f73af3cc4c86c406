// MQTT.js: what the broker keeps: retained messages, wills, sessions; take-over.
'use strict'

const {
  AGAINST_MOSQUITTO, CONTROL_DEADLINE, Failure, Peer, compare, equal, message, topic, within
} = require('./peer.js')

const numbers = (count) => Array.from({ length: count }, (_, number) => number)
const byTopic = (got) => got.topic
// Order is promised within a QoS: a client shows QoS 2 only at PUBREL, after QoS 1.
const byQos = (got) => got.qos
const lasting = { clean: false, properties: { sessionExpiryInterval: 300 } }

// A new subscriber receives exactly `expected` (any order among topics), then live messages.
async function retainedExactly (version, publisher, label, expected) {
  const late = await Peer.connect(version, label)
  await late.subscribe(topic('kept/#'), 2)
  await late.waitCount(expected.length)
  await publisher.send(topic('kept/z-last'), 'last', 2)
  await late.waitUntil((received) => received.some((got) => got.payload === 'last'), 'the last')
  await late.expectBy(byTopic, label, [...expected, message(topic('kept/z-last'), 'last', 2)])
  await late.disconnect()
}

// Set, replaced, deleted; RETAIN is 1 only on what was kept; a deletion is delivered live.
async function retained (version) {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => topic(`kept/${name}`))
  const live = await Peer.connect(version, 'live')
  const publisher = await Peer.connect(version, 'publisher')
  await live.subscribe(topic('kept/+'), 2)
  const put = async (name, payload, qos, retain = true) => {
    await publisher.send(name, payload, qos, { retain })
    await live.expectExactly(`${payload} live`, [message(name, payload, qos)])
  }
  await put(a, 'one', 1)
  await put(b, 'two', 0)
  await put(c, 'three', 2)
  await live.unsubscribe(topic('kept/+'))
  const first = [message(a, 'one', 1, true), message(b, 'two', 0, true), message(c, 'three', 2, true)]
  await retainedExactly(version, publisher, 'set', first)
  await live.subscribe(topic('kept/+'), 2)
  await live.expectBy(byTopic, 'subscribed again', first)
  await put(a, 'uno', 2)
  await put(b, 'not kept', 1, false)
  await live.unsubscribe(topic('kept/+'))
  const replaced = [message(a, 'uno', 2, true), ...first.slice(1)]
  await retainedExactly(version, publisher, 'replaced', replaced)
  await live.subscribe(topic('kept/+'), 2)
  await live.expectBy(byTopic, 'replaced', replaced)
  await put(b, '', 1)
  await put(c, '', 0)
  await put(topic('kept/never'), '', 2)
  await live.disconnect()
  await retainedExactly(version, publisher, 'deleted', [message(a, 'uno', 2, true)])
  await publisher.send(a, '', 1, { retain: true })
  await retainedExactly(version, publisher, 'all deleted', [])
}

// Published on an abrupt close with QoS, RETAIN, properties; not after a clean DISCONNECT.
async function will (version) {
  const five = version === '5'
  const watcher = await Peer.connect(version, 'watcher')
  await watcher.subscribe(topic('kept/#'), 2)
  const publisher = await Peer.connect(version, 'publisher')
  const properties = five
    ? { contentType: 'text/plain', userProperties: { cause: ['power', 'again'], a: 'b' } }
    : {}
  const kept = []
  for (const qos of [0, 1, 2]) {
    for (const retain of [false, true]) {
      const last = { topic: topic(`kept/${qos}/${retain}`), payload: `died ${qos}`, qos, retain }
      if (five) last.properties = properties
      const mortal = await Peer.connect(version, `mortal${qos}${retain}`, { will: last })
      await mortal.kill()
      await watcher.expectExactly('will', [message(last.topic, last.payload, qos, false, properties)])
      if (retain) kept.push(message(last.topic, last.payload, qos, true, properties))
    }
  }
  const clean = { topic: topic('kept/clean'), payload: 'in good order', qos: 1, retain: false }
  await (await Peer.connect(version, 'clean', { will: clean })).disconnect()
  if (five) {
    await (await Peer.connect(version, 'asking', { will: clean })).disconnect({ reasonCode: 4 })
    await watcher.expectExactly('DISCONNECT with 0x04', [message(clean.topic, clean.payload, 1)])
  }
  await publisher.send(topic('kept/end'), 'end', 2)
  await watcher.expectExactly('after DISCONNECT', [message(topic('kept/end'), 'end', 2)])
  await retainedExactly(version, publisher, 'retained wills', kept)
  await watcher.expectExactly('last', [message(topic('kept/z-last'), 'last', 2)])
}

// A delayed will waits its delay; a session resumed in time never dies.
async function willDelay (version) {
  const watcher = await Peer.connect(version, 'watcher')
  await watcher.subscribe(topic('died/#'), 1)
  const mortal = (name, clean = true) => Peer.connect(version, name, {
    clean,
    properties: { sessionExpiryInterval: 60 },
    will: { topic: topic(`died/${name}`), payload: 'died', qos: 1, properties: { willDelayInterval: 2 } }
  })
  const saved = await mortal('saved')
  const lost = await mortal('lost')
  await saved.kill()
  const back = await mortal('saved', false)
  equal('session present', back.sessionPresent, true)
  await lost.kill()
  const killed = Date.now()
  await watcher.expectExactly('will', [message(topic('died/lost'), 'died', 1)])
  const waited = (Date.now() - killed) / 1000
  if (waited < 1.5) throw new Failure(`the will with a delay of 2 s was published after ${waited} s`)
  await back.send(topic('died/last'), 'last', 1)
  await watcher.expectExactly('last', [message(topic('died/last'), 'last', 1)])
  await back.disconnect()
  for (const name of ['saved', 'lost']) await (await Peer.connect(version, name)).disconnect()
}

// A lasting session queues QoS 1 and 2 while its client is away, whole and in order.
async function session (version) {
  const publisher = await Peer.connect(version, 'publisher')
  const name = topic('session/a')
  const present = async (expected) => {
    const peer = await Peer.connect(version, 'lasting', lasting)
    equal('session present', peer.sessionPresent, expected)
    return peer
  }
  const send = async (qos, count) => {
    const expected = numbers(count).map((number) => message(name, String(number), qos))
    await publisher.sendAll(expected.map((one) => [name, one.payload, qos]))
    return expected
  }
  let peer = await present(false)
  await peer.subscribe(topic('session/#'), 2)
  await peer.disconnect()
  let expected = [...await send(2, 300), ...await send(1, 300), ...await send(2, 50)]
  peer = await present(true)
  await peer.expectBy(byQos, 'queued while away', expected)
  await peer.expectExactly('live', await send(1, 5))
  await peer.kill()
  expected = [...await send(2, 20), ...await send(1, 20)]
  peer = await present(true)
  await peer.waitCount(expected.length)
  // The first of these may have been sent to the connection that was just ending.
  for (const got of peer.received) got.dup = false
  await peer.expectBy(byQos, 'queued after an abrupt close', expected)
  await peer.disconnect()
  peer = await present(true)
  await peer.expectExactly('nothing twice', await send(1, 1))
  await peer.disconnect()
  await send(1, 3)
  await (await Peer.connect(version, 'lasting')).disconnect() // a clean session: the old is gone
  peer = await present(false)
  await peer.subscribe(topic('session/#'), 2)
  await peer.expectExactly('a new session begins empty', await send(2, 1))
  await peer.disconnect()
  await (await Peer.connect(version, 'lasting')).disconnect()
}

// What was received but not acknowledged comes again, first, in order and with DUP.
async function redelivery (version) {
  const name = topic('again')
  const publisher = await Peer.connect(version, 'publisher')
  let peer = await Peer.connect(version, 'forgetful', lasting, 'puback')
  await peer.subscribe(name, 1)
  const first = numbers(5).map((number) => message(name, String(number), 1))
  for (const { payload } of first) await publisher.send(name, payload, 1)
  await peer.expectExactly('the first time', first)
  await peer.lostAll(first.length)
  await peer.kill()
  await publisher.send(name, '5', 1)
  peer = await Peer.connect(version, 'forgetful', lasting)
  equal('session present', peer.sessionPresent, true)
  await peer.waitCount(6)
  // The last one may have been sent to the connection that was just ending: its DUP may be either.
  const fresh = message(name, '5', 1, false, {}, peer.received.at(-1).dup)
  await peer.expectExactly('the second time', [...first.map((one) => ({ ...one, dup: true })), fresh])
  await peer.disconnect()
  peer = await Peer.connect(version, 'forgetful', lasting)
  await publisher.send(name, 'last', 1)
  await peer.expectExactly('acknowledged at last', [message(name, 'last', 1)])
  await peer.disconnect()
  await (await Peer.connect(version, 'forgetful')).disconnect()
}

// QoS 2 over a reconnect, whichever answer is lost on the way: each message comes once.
async function exactlyOnce (version) {
  const name = topic('once')
  const publisher = await Peer.connect(version, 'publisher')
  const sent = numbers(5).map((number) => message(name, String(number), 2))
  const last = message(name, 'last', 2)
  const first = await Peer.connect(version, 'once', lasting, 'pubrec')
  await first.subscribe(name, 2)
  for (const { payload } of sent) await publisher.send(name, payload, 2)
  await first.lostAll(sent.length)
  await first.kill()
  compare('received without PUBREC', first.unreleased, sent)
  compare('without PUBREC there is no PUBREL', first.received, [])
  const second = await Peer.connect(version, 'once', lasting, 'pubcomp')
  await second.expectExactly('PUBREC was lost', sent.map((one) => ({ ...one, dup: true })))
  await second.lostAll(sent.length)
  await second.kill()
  const third = await Peer.connect(version, 'once', lasting)
  await publisher.send(name, 'last', 2)
  await third.expectExactly('PUBCOMP was lost', [last])
  equal('PUBREL again', third.released.slice(0, -1), second.released)

  const sender = await Peer.connect(version, 'sender', lasting, 'pubrel')
  const acknowledged = sender.sendAll(sent.map(({ payload }) => [name, payload, 2]))
  await sender.lostAll(sent.length)
  await sender.kill()
  sender.loses = null
  await sender.reconnect()
  equal('session present', sender.sessionPresent, true)
  await acknowledged
  await sender.disconnect()
  await (await Peer.connect(version, 'sender')).disconnect()
  await publisher.send(name, 'last', 2)
  await third.expectExactly('PUBREL was lost', [...sent, last])
  await third.disconnect()
  await (await Peer.connect(version, 'once')).disconnect()
}

// A filter taken back brings nothing more; another filter on the same topic stays.
async function unsubscribe (version) {
  const peer = await Peer.connect(version, 'changing')
  const [name, wide, last] = ['changing/a', 'changing/+', 'last'].map(topic)
  await peer.subscribe(name, 2)
  await peer.send(name, 'heard', 2)
  await peer.expectExactly('subscribed', [message(name, 'heard', 2)])
  await peer.subscribe(wide, 1)
  await peer.unsubscribe(name)
  await peer.send(name, 'heard at QoS 1', 2)
  await peer.expectExactly('the wide one', [message(name, 'heard at QoS 1', 1)])
  await peer.subscribe(last, 1)
  await peer.unsubscribe(wide)
  await peer.send(name, 'not heard', 2)
  await peer.send(last, 'last', 1)
  await peer.expectExactly('unsubscribed', [message(last, 'last', 1)])
}

// A second client with the same id ends the first one's connection and takes its session.
async function takeOver (version) {
  const name = topic('take-over')
  const publisher = await Peer.connect(version, 'publisher')
  const first = await Peer.connect(version, 'same', lasting)
  await first.subscribe(name, 1)
  await publisher.send(name, 'before', 1)
  await first.expectExactly('before', [message(name, 'before', 1)])
  await first.settle()
  const second = await Peer.connect(version, 'same', lasting)
  equal('session present', second.sessionPresent, true)
  await within(first.closed, CONTROL_DEADLINE, 'the first client to be thrown out')
  if (version === '5' && !AGAINST_MOSQUITTO) { // Mosquitto 2.0.11 just closes
    equal('reason of the DISCONNECT', first.disconnectReason, 0x8e)
  }
  await publisher.send(name, 'after', 1)
  await publisher.send(name, 'last', 1)
  await second.expectExactly('after', [message(name, 'after', 1), message(name, 'last', 1)])
  compare('the first, after the take-over', first.received, [])
  await second.disconnect()
  await (await Peer.connect(version, 'same')).disconnect()
}

module.exports = {
  retained,
  will,
  'will-delay': willDelay,
  session,
  redelivery,
  'exactly-once': exactlyOnce,
  unsubscribe,
  'take-over': takeOver
}
