-- Deletes an own tool and frees its name. Agents that had it attached are not touched: its id leads nowhere.
--
-- ARGV  1 tool
-- Reply {'ok'}  {'missing'}
-- include: gone
local text = redis.call('HGET', K.tool(ARGV[1]), 'name')
if not text then return {'missing'} end
redis.call('HDEL', K.tool_names(), cjson.decode('[' .. text .. ']')[1])
gone('tools', ARGV[1], redis.call('ZSCORE', K.tools(), ARGV[1]))
redis.call('ZREM', K.tools(), ARGV[1])
redis.call('DEL', K.tool(ARGV[1]))
return {'ok'}
