-- The requests: wrk --script load.lua URL -- OPERATION TOKENS TASKS BLOCK ROWS
-- TOKENS is a file with a line for each user of seed.py; the last one is the leaver's. BLOCK and
-- ROWS say which tasks of the leaver to delete. The result is printed as JSON.

local PATH = "/api/v1/tasks"
local TASK = '{"title": "Water the plants on the balcony", "description": "Not those by the door."}'

local tokens, requests, last = {}, {}, 0
local once = false -- whether each request can be sent only once

local function ask(user, method, path, body)
  local headers = { Authorization = "Bearer " .. tokens[user + 1] }
  if body then
    headers["Content-Type"] = "application/json"
  end
  requests[#requests + 1] = wrk.format(method, path, headers, body)
end

local function task(kind, one, other)
  return string.format("%s/%08x-0000-7000-8000-%06x%06x", PATH, kind, one, other)
end

local function of_each_user(method, path, body)
  for user = 0, #tokens - 2 do
    ask(user, method, path, body)
  end
end

local function of_each_task(tasks, method, body)
  for number = 0, tasks - 1 do
    for user = 0, #tokens - 2 do
      ask(user, method, task(0, user, number), body)
    end
  end
end

local operations = {
  list = function() of_each_user("GET", PATH) end,
  get = function(tasks) of_each_task(tasks, "GET") end,
  create = function() of_each_user("POST", PATH, TASK) end,
  change = function(tasks) of_each_task(tasks, "PATCH", '{"completed": true}') end,
  delete = function(_, block, rows)
    once = true
    for row = 0, rows - 1 do
      ask(#tokens - 1, "DELETE", task(1, block, row))
    end
  end,
}

function init(args)
  for token in io.lines(args[2]) do
    tokens[#tokens + 1] = token
  end
  operations[args[1]](tonumber(args[3]), tonumber(args[4]), tonumber(args[5]))
end

function request()
  if once and last == #requests then
    wrk.thread:stop() -- before the response arrives, so this request does not count
  else
    last = last % #requests + 1
  end
  return requests[last]
end

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "refused": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, errors.status, failed
  ))
end
