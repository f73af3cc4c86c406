// MQTT.js: what is published arrives, whole, in order, as often as it must.
'use strict'

const crypto = require('node:crypto')
const {
  AGAINST_MOSQUITTO, Failure, PREFIX, Peer, SMALL, compare, equal, message, sorted, topic
} = require('./peer.js')

const QOS_LEVELS = [0, 1, 2]
const numbers = (count) => Array.from({ length: count }, (_, number) => number)
const hash = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex')

// Every QoS published to a subscription of every QoS: the lower of the two arrives.
async function qos (version) {
  const subscribers = []
  for (const level of QOS_LEVELS) {
    const peer = await Peer.connect(version, `qos${level}`)
    subscribers.push(await peer.subscribe(topic('qos/#'), level))
  }
  const publisher = await Peer.connect(version, 'publisher')
  for (const published of QOS_LEVELS) {
    const name = topic(`qos/${published}`)
    const payloads = numbers(200).map((number) => `message ${number} at QoS ${published}`)
    await publisher.sendAll(payloads.map((payload) => [name, payload, published]))
    for (const level of QOS_LEVELS) {
      const lower = Math.min(level, published)
      const expected = payloads.map((payload) => message(name, payload, lower))
      await subscribers[level].expectExactly(`published at QoS ${published}`, expected)
    }
  }
  await publisher.send(topic('qos/last'), '', 2)
  for (const level of QOS_LEVELS) {
    await subscribers[level].expectExactly('last', [message(topic('qos/last'), '', level)])
  }
}

// 200 KB and exactly 1 MiB at each QoS, by SHA-256.
async function large (version) {
  const subscriber = await Peer.connect(version, 'large')
  await subscriber.subscribe(topic('large/#'), 2)
  const publisher = await Peer.connect(version, 'publisher')
  for (const level of QOS_LEVELS) {
    const expected = []
    for (const size of [200000, 1024 * 1024, 200001]) {
      const payload = crypto.randomBytes(size)
      const name = topic(`large/${level}/${size}`)
      await publisher.send(name, payload.toString('latin1'), level)
      expected.push(message(name, [size, hash(payload)], level))
    }
    await subscriber.waitCount(expected.length)
    const received = subscriber.received.map((got) => {
      const payload = Buffer.from(got.payload, 'latin1')
      return { ...got, payload: [payload.length, hash(payload)] }
    })
    compare(`large at QoS ${level}`, received, expected)
    subscriber.received = []
  }
  await publisher.send(topic('large/last'), 'last', 2)
  await subscriber.expectExactly('last', [message(topic('large/last'), 'last', 2)])
}

// Overlapping subscriptions of different QoS: one delivery, at the highest.
async function overlap (version) {
  const subscriber = await Peer.connect(version, 'overlap')
  for (const [filter, level] of [['overlap/#', 0], ['overlap/+', 2], ['overlap/a', 1]]) {
    await subscriber.subscribe(topic(filter), level)
  }
  const publisher = await Peer.connect(version, 'publisher')
  let expected = numbers(10).map((number) => message(topic('overlap/a'), `message ${number}`, 2))
  expected.push(message(topic('overlap/last'), 'last', 2))
  for (const { topic: name, payload } of expected) await publisher.send(name, payload, 2)
  const isLast = (got) => got.payload === 'last' && (AGAINST_MOSQUITTO || got.qos === 2)
  await subscriber.waitUntil((received) => received.some(isLast), 'the last message')
  let { received } = subscriber
  if (AGAINST_MOSQUITTO) { // it sends copies (allowed), in 3.1.1 one at any QoS (a fault)
    await publisher.send(topic('overlap/end'), 'end', 2)
    const isEnd = (got) => got.payload === 'end'
    await subscriber.waitUntil((received) => received.some(isEnd), 'the end')
    expected = expected.map((got) => got.payload)
    received = [...new Set(received.map((got) => got.payload))].filter((text) => text !== 'end')
  }
  compare('overlap', received, expected)
}

// Groups of two and of three members, each QoS, and an ordinary subscriber beside them.
async function shared (version) {
  const whole = await Peer.connect(version, 'whole')
  await whole.subscribe(topic('shared/#'), 2)
  const groups = []
  for (const size of [2, 3]) {
    const members = []
    for (const index of numbers(size)) {
      const member = await Peer.connect(version, `member${size}-${index}`)
      await member.subscribe(`$share/${PREFIX}-${size}/${topic('shared/#')}`, 2)
      members.push(await member.subscribe(topic('done'), 2))
    }
    groups.push(members)
  }
  const publisher = await Peer.connect(version, 'publisher')
  for (const level of QOS_LEVELS) {
    const name = topic(`shared/${level}`)
    const expected = numbers(300).map((number) =>
      message(name, String(number).padStart(4, '0'), level))
    await publisher.sendAll(expected.map((one) => [name, one.payload, level]))
    await whole.expectExactly(`beside the groups at QoS ${level}`, expected)
    for (const group of groups) await receivedTogether(group, expected.length)
    const done = message(topic('done'), `done ${level}`, 2)
    await publisher.send(done.topic, done.payload, 2)
    for (const group of groups) await sharedExactly(group, expected, done)
  }
}

async function receivedTogether (group, count) {
  const together = () => group.reduce((sum, member) => sum + member.received.length, 0)
  const what = `${count} messages in a group of ${group.length}`
  // A member's condition is looked at when that member receives: the last one to receive settles it.
  await Promise.any(group.map((member) => member.waitUntil(() => together() >= count, what)))
    .catch((none) => { throw none.errors[0] })
}

// The members together have received each message once, each in order, and each member some.
async function sharedExactly (group, expected, done) {
  const byPayload = (got) => got.payload
  const parts = []
  for (const member of group) {
    await member.waitUntil((received) => received.some((got) => got.payload === done.payload), 'done')
    const part = member.received.splice(0)
    equal('the last message', part.pop(), done)
    compare('the part of one member', part, sorted(part, byPayload))
    if (part.length === 0) throw new Failure(`one of ${group.length} members received nothing`)
    parts.push(part)
  }
  compare(`group of ${group.length}`, sorted(parts.flat(), byPayload), expected)
}

// At each QoS, a request is answered on the topic it names, with its correlation data.
async function requestResponse (version) {
  const five = version === '5'
  const asking = await Peer.connect(version, 'asking')
  const answering = await Peer.connect(version, 'answering')
  await asking.subscribe(topic('response/+'), 2)
  await answering.subscribe(topic('request'), 2)
  const requests = []
  const responses = []
  for (const number of numbers(21)) {
    const level = number % 3
    const response = topic(`response/${number}`)
    const data = `\x00\xff${number} correlation`
    const asked = five ? { responseTopic: response, correlationData: Buffer.from(data, 'latin1') } : {}
    await asking.send(topic('request'), response, level, five ? { properties: asked } : {})
    const seen = five ? { responseTopic: response, correlationData: data } : {}
    requests.push(message(topic('request'), response, level, false, seen))
    await answering.waitCount(number + 1)
    const { payload, properties } = answering.received[number]
    const answer = {}
    if (five) answer.correlationData = Buffer.from(properties.correlationData ?? '', 'latin1')
    const options = five ? { properties: answer } : {}
    await answering.send(properties.responseTopic ?? payload, `answer ${number}`, level, options)
    const back = five ? { correlationData: data } : {}
    responses.push(message(response, `answer ${number}`, level, false, back))
    await asking.waitCount(number + 1)
  }
  for (const [peer, name, expected] of
    [[answering, 'request', requests], [asking, 'response/last', responses]]) {
    await asking.send(topic(name), 'last', 2)
    await peer.expectExactly(name, [...expected, message(topic(name), 'last', 2)])
  }
}

// 200 clients at once, 50 numbered messages each: complete, each publisher's in order.
async function many (version) {
  const [count, each] = SMALL ? [20, 5] : [200, 50]
  const subscriber = await Peer.connect(version, 'many')
  await subscriber.subscribe(topic('many/#'), 2)
  const publishers = await Promise.all(
    numbers(count).map((index) => Peer.connect(version, `publisher${index}`)))
  await Promise.all(publishers.map((publisher, index) => {
    const name = topic(`many/${index}`)
    return publisher.sendAll(numbers(each).map((number) => [name, String(number), index % 3]))
  }))
  await subscriber.waitCount(count * each)
  await publishers[0].send(topic('many/last'), 'last', 2)
  const expected = numbers(count).flatMap((index) => numbers(each).map((number) =>
    message(topic(`many/${index}`), String(number), index % 3)))
  expected.push(message(topic('many/last'), 'last', 2))
  await subscriber.expectBy((got) => got.topic, 'many', expected)
}

// MQTT.js gives aliases by itself (more topics than the server allows), and accepts them.
async function topicAlias (version) {
  const subscriber = await Peer.connect(version, 'alias', { properties: { topicAliasMaximum: 5 } })
  await subscriber.subscribe(topic('alias/#'), 2)
  const plain = await Peer.connect(version, 'plain')
  await plain.subscribe(topic('alias/#'), 2)
  const publisher = await Peer.connect(version, 'publisher', { autoAssignTopicAlias: true })
  for (const level of QOS_LEVELS) {
    const expected = numbers(300).map((number) =>
      message(topic(`alias/${number % 25}`), String(number), level))
    await publisher.sendAll(expected.map((one) => [one.topic, one.payload, level]))
    await plain.expectExactly(`at QoS ${level}`, expected)
    await subscriber.waitCount(expected.length)
    for (const got of subscriber.received) delete got.properties.topicAlias
    await subscriber.expectExactly(`with aliases at QoS ${level}`, expected)
  }
  await publisher.send(topic('alias/last'), 'last', 2)
  const last = [message(topic('alias/last'), 'last', 2)]
  await plain.expectExactly('last', last)
  await subscriber.waitCount(1)
  for (const got of subscriber.received) delete got.properties.topicAlias
  await subscriber.expectExactly('last with an alias', last)
}

module.exports = {
  qos,
  large,
  overlap,
  shared,
  'request-response': requestResponse,
  many,
  'topic-alias': topicAlias
}
