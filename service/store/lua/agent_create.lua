-- Creates an agent with its new blocks, the blocks it is given and its first messages; all or nothing.
-- The same id again changes nothing. Of several blocks under one label the first is attached (V1 makes no error of it).
--
-- ARGV  1 agent  2 record as JSON  3 name  4 places as JSON  5 pool  6 author as JSON  7 author's name
--       8 new blocks as JSON [[id, fields], …]  9 block ids as JSON  10 messages as JSON [[id, body], …]
--       11 changes kept  12 history kept  13 '1' if hidden  14 identity ids as JSON  15 other fields of the hash as JSON
-- Reply {'ok', created_at}  {'missing', block}  {'noidentity', identity}
-- include: clock
-- include: lineage
-- include: agent_places
-- include: block_new
-- include: attachment
-- include: messages
local agent, author = ARGV[1], ARGV[6]
if redis.call('EXISTS', K.agent(agent)) == 1 then return {'ok', redis.call('HGET', K.agent(agent), 'created_at')} end
local given = cjson.decode(ARGV[9])
for _, block in ipairs(given) do
  if redis.call('EXISTS', K.block(block)) == 0 then return {'missing', block} end
end
for _, identity in ipairs(cjson.decode(ARGV[14])) do
  if redis.call('EXISTS', K.identity(identity)) == 0 then return {'noidentity', identity} end
end
local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
redis.call('HSET', K.agent(agent), 'record', ARGV[2], 'rev', '1', 'seq', string.format('%d', seq),
  'created_at', MICROS, 'updated_at', MICROS, 'name', ARGV[3], 'places', ARGV[4], 'hidden', ARGV[13],
  'identity_ids', ARGV[14])
for name, text in pairs(cjson.decode(ARGV[15])) do redis.call('HSET', K.agent(agent), name, text) end
redis.call('HSET', K.agent_state(agent), 'status', 'idle', 'generation', '0', 'lineage', lineage(),
  'pool', ARGV[5])
redis.call('ZADD', K.agents(), seq, agent)
file_agent(agent, {})
order_agent(agent, {})
for _, block in ipairs(given) do attach(agent, block, author, ARGV[11]) end
for _, new in ipairs(cjson.decode(ARGV[8])) do
  new_block(new[1], new[2], author, ARGV[7], ARGV[12], ARGV[11])
  attach(agent, new[1], author, ARGV[11])
end
for _, message in ipairs(cjson.decode(ARGV[10])) do store_message(agent, message[1], message[2]) end
return {'ok', MICROS}
