-- Keeps an own tool under its name: a new one, or new fields of the one that has that name already.
--
-- ARGV  1 id of a new one  2 name  3 fields of a new one as JSON {field: text}  4 fields given, likewise
-- Reply {'ok', id, hash as a flat list}
-- include: clock
local id = redis.call('HGET', K.tool_names(), ARGV[2])
local fields = cjson.decode(id and ARGV[4] or ARGV[3])
if not id then
  id = ARGV[1]
  local seq = string.format('%d', redis.call('HINCRBY', K.meta(), 'seq', 1))
  redis.call('HSET', K.tool(id), 'seq', seq, 'created_at', MICROS)
  redis.call('HSET', K.tool_names(), ARGV[2], id)
  redis.call('ZADD', K.tools(), seq, id)
end
for name, text in pairs(fields) do redis.call('HSET', K.tool(id), name, text) end
redis.call('HSET', K.tool(id), 'updated_at', MICROS)
return {'ok', id, redis.call('HGETALL', K.tool(id))}
