-- open(agent, run, seen, prompt, input, depth, message_0, body, agent_type, leaving): what a run's model calls start from,
-- stored with it: the versions of its blocks, the compiled prompt, its input. The prompt is also put into
-- message 0, where clients look for it.
-- seen, input, leaving (messages that leave the context): as JSON; agent_type: or ''
local function open(agent, run, seen, prompt, input, depth, message_0, body, agent_type, leaving)
  redis.call('HSET', K.run(run), 'prompt', prompt, 'seen', seen, 'messages', input, 'depth', depth)
  if agent_type ~= '' then redis.call('HSET', K.run(run), 'agent_type', agent_type) end
  if redis.call('HEXISTS', K.agent_bodies(agent), message_0) == 1 then
    redis.call('HSET', K.agent_bodies(agent), message_0, body)
  end
  for _, id in ipairs(cjson.decode(leaving)) do redis.call('ZREM', K.agent_context(agent), id) end
end
