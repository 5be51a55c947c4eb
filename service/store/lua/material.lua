-- material(agent, run): what a run's transcript is gathered from: {agent as a flat list, ids of the messages in context,
-- their bodies, blocks by label as flat lists, notes}.
-- include: bodies
local function material(agent, run)
  local attached, labels, blocks = {}, {}, {}
  local found = redis.call('HGETALL', K.agent_blocks(agent))
  for i = 1, #found, 2 do
    table.insert(labels, found[i])
    attached[found[i]] = found[i + 1]
  end
  table.sort(labels)
  for _, label in ipairs(labels) do table.insert(blocks, redis.call('HGETALL', K.block(attached[label]))) end
  local context = redis.call('ZRANGE', K.agent_context(agent), 0, -1)
  local notes = redis.call('LRANGE', K.run_notes(run), 0, -1)
  return {redis.call('HGETALL', K.agent(agent)), context, bodies(agent, context), blocks, notes}
end
