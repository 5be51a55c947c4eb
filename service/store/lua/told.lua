-- told(run): {hash as a flat list, messages as JSON}: a run, and once it has ended what it put into its agent's history.
-- told_with_ring(run, said): as JSON behind a space the same, for whoever waits for the end alone, or the run and what
-- was said last (output.lua), for a sender who listens; '' where nobody does, or it is more than the ring of everybody
-- who waits should bear: then it is read.
-- include: bodies
local RING_BYTES = 16384

local function told(run)
  local hash = redis.call('HGETALL', K.run(run))
  if #hash == 0 then return {} end
  local status = redis.call('HGET', K.run(run), 'status')
  if status == 'created' or status == 'running' then return {hash, {}} end
  local ids = redis.call('LRANGE', K.run_messages(run), 0, -1)
  local agent = ids[1] and redis.call('HGET', K.message_agents(), ids[1])
  return {hash, agent and bodies(agent, ids) or {}}
end

local function told_with_ring(run, said)
  local all
  if redis.call('HGET', K.run(run), 'output') == 'end' then
    all = told(run)
  elseif said then
    all = {run = redis.call('HGETALL', K.run(run)), said = said}
  else
    return ''
  end
  local bytes = 0
  for _, part in pairs(all) do
    for _, text in ipairs(part) do bytes = bytes + #text end
  end
  return bytes <= RING_BYTES and ' ' .. cjson.encode(all) or ''
end
