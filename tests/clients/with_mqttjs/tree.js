#!/usr/bin/env node
// A large tree of retained messages, for with_together: `tree.js
// write|read|erase COUNT VERSION`. `write` sets it, `erase` deletes it; `read` subscribes to `#` and fails
// unless it is there, whole, and nothing else.
'use strict'

const {
  DEADLINE, DEAF, PREFIX, Peer, compare, message, runToEnd, sorted, topic
} = require('./peer.js')

const name = (number) => topic(`tree/${Math.floor(number / 1000)}/${number % 1000}`)
const value = (number) => `value ${number}`
const numbers = (count) => Array.from({ length: count }, (_, number) => number)

async function write (version, count) {
  const writer = await Peer.connect(version, 'writer')
  const marker = [topic('marker'), 'marker', 1, { retain: true }]
  const kept = numbers(count).map((number) => [name(number), value(number), 1, { retain: true }])
  await writer.sendAll([...kept, marker])
  await writer.disconnect()
}

async function erase (version, count) {
  const eraser = await Peer.connect(version, 'eraser')
  await eraser.sendAll(numbers(count).map((number) => [name(number), '', 1, { retain: true }]))
  await eraser.disconnect()
}

async function read (version, count) {
  const reader = await Peer.connect(version, 'mqttjs-reader')
  let ours = 0 // of this run: the broker may keep what is not
  let seen = 0
  const countOurs = (received) => {
    for (; seen < received.length; seen++) {
      if (received[seen].topic.startsWith(`${PREFIX}/`)) ours++
    }
    return ours
  }
  await reader.subscribe(DEAF ? 'tree' : '#', 1)
  const complete = (received) => countOurs(received) > count
  await reader.waitUntil(complete, `${count} retained messages and a marker`, 3 * DEADLINE)
  const last = topic('mqttjs-last')
  await reader.send(last, 'last', 1)
  await reader.waitUntil((received) => received.some((got) => got.topic === last), 'the last message')
  const isOurs = (got) => got.topic.startsWith(`${PREFIX}/`) && !/(paho|sub|rumqttc)-last$/.test(got.topic)
  const expected = numbers(count).map((number) => message(name(number), value(number), 1, true))
  expected.push(message(topic('marker'), 'marker', 1, true), message(last, 'last', 1))
  const byTopic = (got) => got.topic
  compare('MQTT.js', sorted(reader.received.filter(isOurs), byTopic), sorted(expected, byTopic))
}

const [action, count, version] = process.argv.slice(2)
const actions = { write, read, erase }
runToEnd(version, (version) => {
  // The tree stays: with_together deletes it. Nothing here is to be cleaned up by this process.
  Peer.keepRetained()
  return actions[action](version, Number(count))
})
