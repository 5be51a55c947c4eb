-- tell(run, event): one event (JSON) into a run's output, if somebody asked for it; its seq is the entry's id.
-- said[run]: {seq, event, …}, what this script told of a run whose sender listens.
local OUTPUT_KEPT = 10000
local said = {}
local function tell(run, event)
  local kept = redis.call('HMGET', K.run(run), 'output', 'listens')
  if kept[1] ~= '1' then return end
  local seq = string.format('%d', redis.call('HINCRBY', K.run(run), 'told', 1))
  redis.call('XADD', K.run_output(run), 'MAXLEN', '~', OUTPUT_KEPT, seq .. '-0', 'event', event)
  if kept[2] then
    said[run] = said[run] or {}
    table.insert(said[run], seq)
    table.insert(said[run], event)
  end
end
