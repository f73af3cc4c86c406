// MQTT.js: what MQTT 5 adds to a message and to a subscription.
'use strict'

const { setTimeout: sleep } = require('node:timers/promises')
const { AGAINST_MOSQUITTO, Failure, Peer, compare, message, topic } = require('./peer.js')

const lasting = { clean: false, properties: { sessionExpiryInterval: 300 } }

// All properties of a PUBLISH passed on unchanged, user properties in order with repeats.
async function properties (version) {
  const subscriber = await Peer.connect(version, 'subscriber')
  await subscriber.subscribe(topic('properties/#'), 2)
  const publisher = await Peer.connect(version, 'publisher')
  const data = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('')
  const carried = {
    payloadFormatIndicator: true,
    contentType: 'text/plain; charset=utf-8',
    responseTopic: 'answer/here',
    userProperties: { b: ['1', '3', '1'], a: '2', é: 'x'.repeat(5000) }
  }
  const sent = { ...carried, correlationData: Buffer.from(data, 'latin1') }
  const seen = { ...carried, correlationData: data }
  for (const qos of [0, 1, 2]) {
    const name = topic(`properties/${qos}`)
    const names = Object.keys(sent)
    const cases = [[sent, seen], [{}, {}]]
    for (const key of names) cases.push([{ [key]: sent[key] }, { [key]: seen[key] }])
    await publisher.sendAll(cases.map(([put]) => [name, 'text', qos, { properties: put }]))
    const expected = cases.map(([, got]) => message(name, 'text', qos, false, got))
    await subscriber.expectExactly(`properties at QoS ${qos}`, expected)
  }
  const name = topic('properties/kept')
  await publisher.send(name, 'kept', 1, { retain: true, properties: sent })
  await subscriber.expectExactly('retained, live', [message(name, 'kept', 1, false, seen)])
  const late = await Peer.connect(version, 'late')
  await late.subscribe(name, 2)
  await late.expectExactly('retained', [message(name, 'kept', 1, true, seen)])
  await publisher.send(name, '', 2, { retain: true })
  await publisher.send(name, 'last', 2)
  const deleted = [message(name, '', 2), message(name, 'last', 2)]
  await late.expectExactly('deleted', deleted)
  await subscriber.expectExactly('deleted', deleted)
}

// Message expiry is counted down while a message waits; what has expired never comes.
async function expiry (version) {
  const [name, kept, gone] = ['a', 'kept', 'gone'].map((part) => topic(`expiry/${part}`))
  const publisher = await Peer.connect(version, 'publisher')
  const expiring = (seconds, retain = false) =>
    ({ retain, properties: { messageExpiryInterval: seconds } })
  let away = await Peer.connect(version, 'away', lasting)
  await away.subscribe(name, 1)
  for (const payload of ['live', 'live again']) {
    await publisher.send(name, payload, 1, expiring(50))
    const live = message(name, payload, 1, false, { messageExpiryInterval: 50 })
    await away.expectExactly('live', [live])
  }
  await away.disconnect()
  await publisher.send(name, 'too old', 1, expiring(1))
  await publisher.send(name, 'fresh', 1, expiring(100))
  await publisher.send(name, 'too old', 1, expiring(1))
  await publisher.send(name, 'for ever', 1)
  await publisher.send(kept, 'kept', 1, expiring(100, true))
  await publisher.send(gone, 'gone', 1, expiring(1, true))
  await sleep(2200) // time itself is what is tested
  away = await Peer.connect(version, 'away', lasting)
  await publisher.send(name, 'last', 1)
  const isLast = (received) => received.at(-1)?.payload === 'last'
  await away.waitUntil(isLast, 'the last message')
  const expected = ['fresh', 'for ever', 'last'].map((payload) => message(name, payload, 1))
  compare('queued', countedDown(away, 'fresh'), expected)
  await away.disconnect()
  const late = await Peer.connect(version, 'late')
  await late.subscribe(topic('expiry/#'), 1)
  await late.waitCount(1)
  await publisher.send(name, 'last', 1)
  await late.waitUntil(isLast, 'the last message')
  const all = [message(kept, 'kept', 1, true), message(name, 'last', 1)]
  compare('retained', countedDown(late, 'kept'), all)
  await (await Peer.connect(version, 'away')).disconnect()
}

// What `peer` received, less the expiry of `expiring`: 100 s, given more than 2 s ago.
function countedDown (peer, expiring) {
  for (const { payload, properties } of peer.received) {
    const left = properties.messageExpiryInterval
    if (payload !== expiring) continue
    if (!(left >= 50 && left <= 98)) {
      throw new Failure(`received ${payload} expiring in ${left} s, expected 50 to 98`)
    }
    delete properties.messageExpiryInterval
  }
  return peer.received
}

// No local, retain as published, and retain handling 0, 1 and 2.
async function subscribeOptions (version) {
  const name = topic('options')
  const publisher = await Peer.connect(version, 'publisher')
  await publisher.send(name, 'kept', 1, { retain: true })
  const kept = message(name, 'kept', 1, true)
  const [always, fresh, never, published, local] = await Promise.all(
    ['always', 'new', 'never', 'published', 'local'].map((label) => Peer.connect(version, label)))
  for (let round = 0; round < 2; round++) {
    await always.subscribe(name, 1, { rh: 0 })
    await always.expectExactly('retain handling 0', [kept])
  }
  await fresh.subscribe(name, 1, { rh: 1 })
  await fresh.expectExactly('retain handling 1, new', [kept])
  await fresh.subscribe(name, 1, { rh: 1 })
  await never.subscribe(name, 1, { rh: 2 })
  await published.subscribe(name, 1, { rap: true })
  await published.expectExactly('retained', [kept])
  await local.subscribe(name, 1, { nl: true })
  await local.expectExactly('no local, retained by another', [kept])
  await local.send(name, 'from local', 1, { retain: true })
  await publisher.send(name, 'last', 1)
  const last = message(name, 'last', 1)
  await local.expectExactly('no local', [last])
  const asPublished = [message(name, 'from local', 1, true), last]
  await published.expectExactly('retain as published', asPublished)
  for (const peer of [always, fresh, never]) {
    await peer.expectExactly('live', [message(name, 'from local', 1), last])
  }
}

// Each delivery carries the identifiers of all the subscriptions it answers to.
async function subscriptionIdentifiers (version) {
  const identified = (subscriptionIdentifier) => ({ properties: { subscriptionIdentifier } })
  const [name, wide, deep, last] = ['a', '+', '#', 'last'].map((part) => topic(`identified/${part}`))
  const subscriber = await Peer.connect(version, 'subscriber')
  await subscriber.subscribe(name, 0, identified(1))
  await subscriber.subscribe(wide, 2, identified(268435455))
  await subscriber.subscribe(deep, 1)
  const other = await Peer.connect(version, 'other')
  await other.subscribe(name, 1, identified(9))
  const publisher = await Peer.connect(version, 'publisher')
  await publisher.send(name, 'both', 2)
  const its = message(name, 'both', 1, false, { subscriptionIdentifier: 9 })
  await other.expectExactly('its own', [its])
  await publisher.send(last, 'last', 2)
  const isLast = (got) => got.topic === last && got.qos === 2
  await subscriber.waitUntil((received) => received.some(isLast), 'the last message')
  let received = subscriber.received.splice(0)
  if (AGAINST_MOSQUITTO) received = merged(received) // a copy for each subscription instead
  for (const { properties } of received) {
    const identifiers = [properties.subscriptionIdentifier ?? []].flat()
    properties.subscriptionIdentifier = identifiers.sort((a, b) => a - b)
  }
  const carrying = (where, payload, identifiers) =>
    message(where, payload, 2, false, { subscriptionIdentifier: identifiers })
  const both = carrying(name, 'both', [1, 268435455])
  compare('both identifiers', received, [both, carrying(last, 'last', [268435455])])
  await subscriber.unsubscribe(wide)
  await subscriber.unsubscribe(deep)
  await subscriber.subscribe(name, 1, identified(2))
  await publisher.send(name, 'replaced', 2)
  const replaced = message(name, 'replaced', 1, false, { subscriptionIdentifier: 2 })
  await publisher.send(name, 'last', 2)
  await subscriber.expectExactly('replaced', [replaced, { ...replaced, payload: 'last' }])
  await other.expectExactly('its own', ['replaced', 'last'].map((payload) => ({ ...its, payload })))
}

// One message in place of the copies of each, with the identifiers of all.
function merged (copies) {
  const messages = new Map()
  for (const copy of copies) {
    const key = copy.topic + copy.payload
    if (!messages.has(key)) {
      messages.set(key, message(copy.topic, copy.payload, 2, false, { subscriptionIdentifier: [] }))
    }
    const { properties } = messages.get(key)
    properties.subscriptionIdentifier.push(...[copy.properties.subscriptionIdentifier ?? []].flat())
  }
  return [...messages.values()]
}

module.exports = {
  properties,
  expiry,
  'subscribe-options': subscribeOptions,
  'subscription-identifiers': subscriptionIdentifiers
}
