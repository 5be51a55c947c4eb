-- Changes fields of an own tool; its name too, unless another tool has it.
--
-- ARGV  1 tool  2 fields as JSON {field: text}  3 name now
-- Reply {'ok', hash as a flat list}  {'missing'}  {'named', tool} (that one has the name)
-- include: clock
local id, name = ARGV[1], ARGV[3]
local text = redis.call('HGET', K.tool(id), 'name')
if not text then return {'missing'} end
local holder = redis.call('HGET', K.tool_names(), name)
if holder and holder ~= id then return {'named', holder} end
redis.call('HDEL', K.tool_names(), cjson.decode('[' .. text .. ']')[1])
redis.call('HSET', K.tool_names(), name, id)
for field, value in pairs(cjson.decode(ARGV[2])) do redis.call('HSET', K.tool(id), field, value) end
redis.call('HSET', K.tool(id), 'updated_at', MICROS)
return {'ok', redis.call('HGETALL', K.tool(id))}
